"""Tests of `broadcast streams`, on a real nats-server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

from node.broker.interface import HistoryOptions, Message
from node.broker.namespaces import Namespaces
from node.broker.nats.broker import NatsBroker
from node.config.load import load
from tests.nats_server import NatsServer
from tests.node.broker.nats.conftest import Recorder
from tests.patience import PATIENCE_S

CLI = [sys.executable, "-P", "-m", "deploy.cli"]
KEEPS = "channel: {without_namespace: {history_size: %d, history_ttl: 60s}, namespaces: [{name: plain}]}"


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(KEEPS % 10)
    return path


def streams(action: str, config: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: the command sets up logging.
    command = [*CLI, "streams", action, "--config", str(config), "--nats", url, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def test_apply_does_what_plan_shows_and_then_nothing_is_left(server: NatsServer, config: Path) -> None:
    """A plan changes nothing; apply makes what it showed; afterwards the streams are as wanted."""
    for _ in range(2):
        assert "the stream is created" in streams("plan", config, server.url).stdout
    assert "1 change done" in streams("apply", config, server.url).stdout
    assert "as wanted" in streams("plan", config, server.url).stdout
    config.write_text(KEEPS % 20)
    ((entry),) = json.loads(streams("plan", config, server.url, "--json").stdout)
    (change,) = entry["changes"]
    assert (change["setting"], change["current"], change["wanted"]) == ("max_msgs_per_subject", 11, 21)
    assert streams("apply", config, server.url).returncode == 0
    assert "as wanted" in streams("plan", config, server.url).stdout


def test_backups_are_made_and_then_as_wanted(server: NatsServer, config: Path) -> None:
    """A copy of each stream for each cluster that is named, changed along with its stream."""
    more = ["--set", "broker.nats.prefix=copied", "--set", "broker.nats.stream_cluster=eu"]
    more += ["--set", "broker.nats.stream_backups=us"]
    assert "copied-_-0-us" in streams("plan", config, server.url, *more).stdout
    assert "2 changes done" in streams("apply", config, server.url, *more).stdout
    assert "0 changes" in streams("plan", config, server.url, *more).stdout
    config.write_text(KEEPS % 20)
    assert "2 changes done" in streams("apply", config, server.url, *more).stdout
    assert "0 changes" in streams("plan", config, server.url, *more).stdout


def test_a_namespace_that_keeps_no_history_any_more_is_marked(server: NatsServer, config: Path) -> None:
    """Switching history off ends recovery in that stream, once, and says so."""
    prefix = ["--set", "broker.nats.prefix=retired"]
    assert streams("apply", config, server.url, *prefix).returncode == 0
    config.write_text("{}")
    done = streams("plan", config, server.url, *prefix)
    assert "no streams" in done.stdout  # a stream that no node has used has no epoch to end


def use(config: Path, url: str, *more: str) -> set[str]:
    """Let a node publish to some channels; returns the epochs it publishes in."""
    loaded = load(config, {}, dict(each.split("=") for each in more))
    history = loaded.channel.without_namespace
    options = msgspec.structs.replace(loaded.broker.nats, url=url)
    broker = NatsBroker(options, Namespaces.of(loaded.channel), name="test")

    async def publish() -> set[str]:
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run, Recorder())
            await broker.feed.wait_connected(PATIENCE_S)
            kept = HistoryOptions(history.history_size, history.history_ttl, 3600)
            positions = [await broker.publish(f"c{number}", Message(b"1"), kept) for number in range(20)]
            nursery.cancel_scope.cancel()
        return {position.epoch for position in positions if position}

    return trio.run(publish)


def test_another_number_of_partitions_is_applied_there_and_back(server: NatsServer, config: Path) -> None:
    """The number is compared with what the streams say, changed on demand only, and ends every epoch."""
    more = ["broker.nats.prefix=spread"]
    options = ["--set", *more]
    assert streams("apply", config, server.url, *options).returncode == 0
    epochs = use(config, server.url, *more)
    assert len(epochs) == 1
    for partitions, before, surplus in ((4, 1, 0), (1, 4, 3)):
        config.write_text(
            f"channel: {{without_namespace: {{history_size: 10, history_ttl: 60s, "
            f"history_partitions: {partitions}}}}}"
        )
        # A node follows the streams, whatever its configuration says.
        assert use(config, server.url, *more) <= epochs
        planned = json.loads(streams("plan", config, server.url, *options, "--json").stdout)
        assert planned == json.loads(streams("apply", config, server.url, *options, "--json").stdout)
        change = planned[0]["changes"][0]
        assert (change["setting"], change["current"], change["wanted"]) == (
            "history_partitions",
            before,
            partitions,
        )
        assert [entry["stream"] for entry in planned[partitions:]] == [
            f"spread-_-{number}" for number in range(partitions, partitions + surplus)
        ]
        assert "0 changes" in streams("plan", config, server.url, *options).stdout
        after = use(config, server.url, *more)
        assert len(after) == partitions
        assert not after & epochs
        epochs |= after


def test_history_switched_off_ends_every_partition(server: NatsServer, config: Path) -> None:
    """All streams of the namespace are marked, however many the config has now."""
    more = ["broker.nats.prefix=off"]
    kept = "channel: {without_namespace: {history_size: 10, history_ttl: 60s, history_partitions: 3}}"
    config.write_text(kept)
    before = use(config, server.url, *more)
    config.write_text("{}")
    assert "3 changes done" in streams("apply", config, server.url, "--set", *more).stdout
    assert "no streams" in streams("plan", config, server.url, "--set", *more).stdout
    config.write_text(kept)
    assert not before & use(config, server.url, *more)


def test_an_unreachable_server_is_said_in_words(config: Path) -> None:
    """Nobody at the address is exit code 1 and a sentence without the login, after the connect deadline."""
    more = ["--set", "broker.nats.connect_deadline_s=0.1", "--set", "broker.nats.reconnect_delay_max_s=0.1"]
    done = streams("plan", config, "nats://ann:secret@127.0.0.1:1", *more)
    assert done.returncode == 1
    assert "broadcast streams: nats://(hidden)@127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_there_is_nothing_to_do_without_history(server: NatsServer, config: Path) -> None:
    """A config that keeps nothing has no streams, and a memory broker never has."""
    config.write_text("channel: {namespaces: [{name: never}]}")
    assert "no streams" in streams("plan", config, server.url, "--set", "broker.nats.prefix=other").stdout
    assert streams("plan", config, server.url, "--set", "broker.type=memory").returncode == 1
