"""The command line against a real cluster: what a person types, and what they read."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import BROADCAST, Program, broadcast, run
from tests.nats_server import free_port

API_KEY = "cli-api-key-cli-api-key-cli-api-key-cli"
HISTORY_SIZE = 10
CONFIG: dict[str, Any] = {
    "http_api": {"key": API_KEY},
    "client": {"token": {"hmac_secret_key": "cli-hmac-key-cli-hmac-key-cli-hmac-key"}},
    "channel": {
        "without_namespace": {
            "history_size": HISTORY_SIZE,
            "history_ttl": "300s",
            "force_recovery": True,
            "allow_subscribe_for_client": True,
        },
        "namespaces": [{"name": "plain", "allow_subscribe_for_client": True}],
    },
}


class Up:
    """A cluster of two nodes that `broadcast up` runs.

    Attributes:
        config: the file it was given.
        nodes: addresses of its nodes.
        nats: address of its server.
        token: with which clients connect.
    """

    def __init__(self, program: Program, config: Path, ready_file: Path) -> None:
        program.expect("The cluster is ready: 2 nodes.")
        cluster = json.loads(ready_file.read_text())
        self.config = config
        self.nodes: list[str] = [node["http"] for node in cluster["nodes"]]
        self.nats: str = cluster["nats"]["url"]
        made = run("token", "--user", "ann", "--config", str(config))
        assert made.returncode == 0, made.stderr
        self.token = made.stdout.strip()

    def subscribe(self, channel: str, *more: str, node: int = 0) -> Program:
        """A subscriber, running; wait for `subscribed at` before counting on it."""
        return broadcast("subscribe", channel, "--url", self.nodes[node], "--token", self.token, *more)

    def publish(self, channel: str, data: str, *more: str) -> dict[str, Any]:
        """Publish through the first node; returns the result."""
        done = run(
            "publish", channel, data, "--url", self.nodes[0], "--json", *more, BROADCAST_HTTP_API_KEY=API_KEY
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running cluster."""
    directory = tmp_path_factory.mktemp("up")
    config, ready_file = directory / "cluster.json", directory / "ready.json"
    config.write_text(json.dumps(CONFIG))
    with broadcast(
        "up", "--http-port", "0", "--config", str(config), "--ready-file", str(ready_file)
    ) as program:
        yield Up(program, config, ready_file)


def test_subscribers_on_both_nodes_print_what_is_published(up: Up) -> None:
    """The two terminals of the README: whatever node a subscriber is on, it prints the publication."""
    with up.subscribe("news") as one, up.subscribe("news", node=1) as two:
        for program in (one, two):
            program.expect("subscribed at")
        offset = up.publish("news", '{"hello":1}')["offset"]
        for program in (one, two):
            assert program.expect_out(1) == [f'{offset} {{"hello":1}}']


def test_a_subscriber_ends_quietly(up: Up) -> None:
    """Ctrl-C, and a reader that has enough, end a subscriber without another word."""
    with up.subscribe("quiet") as program:
        program.expect("subscribed at")
        program.send_signal(signal.SIGINT)
        assert program.wait() == 130
        assert len(program.err) == 1
    subscribe = [*BROADCAST, "subscribe", "quiet", "--url", up.nodes[0], "--token", up.token]
    with Program(["sh", "-c", '"$@" | head -n 1', "sh", *subscribe]) as program:
        program.expect("subscribed at")
        for value in (1, 2):
            up.publish("quiet", str(value))
        assert program.wait() == 0
        assert (len(program.out), len(program.err)) == (1, 1)


def test_a_plain_channel_has_no_offsets(up: Up) -> None:
    """Where a channel keeps no history, subscribers get what is published and the offset says 0."""
    with up.subscribe("plain:news", node=1) as program:
        program.expect("subscribed at")
        assert up.publish("plain:news", "3") == {}
        assert program.expect_out(1) == ["0 3"]


def test_since_prints_what_was_missed(up: Up) -> None:
    """A subscriber that names a position gets everything after it first, and says that it did."""
    first = up.publish("since", "1")
    for value in (2, 3):
        up.publish("since", str(value))
    position = f"{first['epoch']}:{first['offset']}"
    with up.subscribe("since", "--since", position, "--count", "2", "--json", node=1) as program:
        assert program.wait() == 0
        assert [json.loads(line)["data"] for line in program.out] == [2, 3]
        assert program.err[0].endswith("recovered, 2 missed")


def test_a_position_that_cannot_be_kept_is_said(up: Up) -> None:
    """A subscriber whose position lies further back than the history is told that something is missing."""
    first = up.publish("short", "0")
    for value in range(HISTORY_SIZE + 1):
        up.publish("short", str(value))
    with up.subscribe("short", "--since", f"{first['epoch']}:{first['offset']}") as program:
        program.expect("NOT recovered")


def test_the_same_idempotency_key_publishes_once(up: Up) -> None:
    """`--idempotency-key` makes a repeated command harmless: the first publication's position is answered."""
    results = [up.publish("once", str(value), "--idempotency-key", "k") for value in (1, 2)]
    assert results[0] == results[1]


def test_text_and_standard_input_are_published(up: Up) -> None:
    """`--text` saves the quotes, and `-` reads what a pipe brings."""
    with up.subscribe("text") as program:
        program.expect("subscribed at")
        up.publish("text", "it's ☃", "--text")
        with broadcast("publish", "text", "-", "--url", up.nodes[1], "--key", API_KEY) as piped:
            piped.say('{"from": "a pipe"}')
            piped.close_input()
            assert piped.wait() == 0, piped.told
        data = [line.partition(" ")[2] for line in program.expect_out(2)]
        assert [json.loads(text) for text in data] == ["it's ☃", {"from": "a pipe"}]


def test_a_client_without_a_token_is_refused_in_words(up: Up) -> None:
    """Where tokens are asked for, a subscriber without one reads what is missing and ends with 1."""
    for token in ([], ["--token", "x.y.z"]):
        done = run("subscribe", "news", "--url", up.nodes[0], *token)
        assert done.returncode == 1
        assert one_sentence(done.stderr, "subscribe")
        assert "(code 3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["news", "{hello:1}", "--key", API_KEY], "DATA is not JSON: {hello:1}"),
        (["news", "1", "--key", "wrong"], "refuses the API key"),
        (["nobodys:news", "1", "--key", API_KEY], "unknown channel (code 102)"),
    ],
)
def test_what_cannot_be_published_is_explained(up: Up, arguments: list[str], says: str) -> None:
    """A mistake is told in one sentence on standard error, with exit status 1 and no traceback."""
    done = run("publish", *arguments, "--url", up.nodes[0])
    assert done.returncode == 1
    assert says in one_sentence(done.stderr, "publish")


@pytest.mark.parametrize("command", [("publish", "news", "1"), ("subscribe", "news")])
def test_a_node_that_is_not_there_is_said(command: tuple[str, ...]) -> None:
    """Nobody listens: one sentence that says so, exit status 1."""
    done = run(*command, "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "is the cluster up?" in one_sentence(done.stderr, command[0])


@pytest.mark.parametrize("arguments", [[], ["news"], ["news", "1", "2"], ["news", "1", "--nonsense"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    """Missing and unknown arguments are wrong usage, which scripts can tell from a failure."""
    assert run("publish", *arguments).returncode == 2


def test_check_config_prints_what_a_good_file_amounts_to(up: Up) -> None:
    """Every setting in force, defaults included, and none of the secrets."""
    done = run("check-config", str(up.config))
    assert done.returncode == 0
    assert f"history_size: {HISTORY_SIZE}" in done.stdout
    assert "ping_interval: 25s" in done.stdout
    assert API_KEY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", ["check-config", "node --config", "up --config", "token --user x --config"]
)
def test_a_bad_config_is_explained_everywhere(tmp_path: Path, command: str) -> None:
    """An unknown key is named with the nearest known one, whichever command reads the file."""
    config = tmp_path / "bad.yaml"
    config.write_text("channel:\n  without_namespace:\n    history_sice: 10\n    history_ttl: soon\n")
    done = run(*command.split(), str(config))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "channel.without_namespace.history_sice" in done.stderr
    assert "history_size" in done.stderr
    assert "history_ttl" in done.stderr


def test_streams_are_planned_and_changed(up: Up, tmp_path: Path) -> None:
    """Nothing to do after the start; a longer history is planned, then made, and clients start afresh."""

    def streams(action: str, config: Path) -> list[dict[str, Any]]:
        done = run("streams", action, "--config", str(config), "--nats", up.nats, "--json")
        assert done.returncode == 0, done.stderr
        (stream,) = json.loads(done.stdout)
        return list(stream["changes"])

    longer = tmp_path / "longer.json"
    changed = json.loads(up.config.read_text())
    changed["channel"]["without_namespace"]["history_size"] = HISTORY_SIZE * 2
    longer.write_text(json.dumps(changed))

    assert streams("plan", up.config) == []
    with up.subscribe("streams", "--json", node=1) as program:
        program.expect("subscribed at")
        before = up.publish("streams", "1")
        for action in ("plan", "apply"):
            (change,) = streams(action, longer)
            assert change["setting"] == "max_msgs_per_subject"
            assert "new epoch" in change["meaning"]
        program.expect("(code 2500)")
        program.expect("NOT recovered")
        after = up.publish("streams", "2")
        assert after["epoch"] != before["epoch"]
        seen = [json.loads(line) for line in program.expect_out(2)]
        assert [(line["epoch"], line["data"]) for line in seen] == [(before["epoch"], 1), (after["epoch"], 2)]
    assert streams("plan", longer) == []


def test_streams_without_a_server_are_said(up: Up) -> None:
    """`streams` needs NATS: where there is none it says so and exits with 1."""
    short = ["connect_deadline_s=0.2", "reconnect_delay_max_s=0.2"]
    settings = [part for setting in short for part in ("--set", f"broker.nats.{setting}")]
    address = f"nats://127.0.0.1:{free_port()}"
    done = run("streams", "plan", "--config", str(up.config), "--nats", address, *settings)
    assert done.returncode == 1
    *log, said = done.stderr.splitlines(keepends=True)
    assert "feed cannot connect" in log[0]
    assert address in one_sentence(said, "streams")


def one_sentence(text: str, command: str) -> str:
    """What a command said on standard error, seen to be one line without a traceback."""
    (line,) = text.splitlines()
    assert line.startswith(f"broadcast {command}: "), line
    return line
