"""Tests of `broadcast streams`, on a real nats-server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nats_server import NatsServer
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
