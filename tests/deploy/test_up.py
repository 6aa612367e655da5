"""Tests of `broadcast up` as far as it is not the cluster itself: arguments, banner, screen."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import cli
from deploy.commands import up
from deploy.configs import read_config

CLUSTER = {
    "nats": {"url": "nats://127.0.0.1:4222", "pid": 1},
    "coordinator": None,
    "nodes": [
        {"name": "node-1", "pid": 2, "http": "http://127.0.0.1:8000", "grpc": None},
        {"name": "node-2", "pid": 3, "http": "http://127.0.0.1:8001", "grpc": None},
    ],
}


def test_the_banner_shows_addresses_and_what_to_try() -> None:
    """A newcomer copies a subscribe on one node and a publish on the other."""
    text = up.banner(CLUSTER, insecure=True)
    assert "2 nodes" in text
    assert "nats://127.0.0.1:4222" in text
    assert "./broadcast subscribe news --url http://127.0.0.1:8001" in text
    assert "./broadcast publish news '{\"hello\":1}' --url http://127.0.0.1:8000" in text


def test_the_banner_shows_every_nats_server() -> None:
    """Of several servers each has a line."""
    servers = [{"name": f"nats-{n}", "url": f"nats://a:{n}", "pid": n} for n in (1, 2)]
    text = up.banner(
        {**CLUSTER, "nats": {"url": "nats://a:1,nats://a:2", "pid": 1, "servers": servers}}, insecure=True
    )
    assert "nats-1      nats://a:1  pid 1\n  nats-2      nats://a:2  pid 2" in text


def test_the_banner_shows_no_login() -> None:
    """The address of NATS is shown, the password in it is not: banners end in screenshots."""
    text = up.banner({**CLUSTER, "nats": {"url": "nats://ann:secret@there:1", "pid": None}}, insecure=True)
    assert "nats://(hidden)@there:1" in text
    assert "secret" not in text


def test_the_banner_shows_what_to_kill() -> None:
    """Process ids are there for those who want to see a node die; of servers of others there is none."""
    text = up.banner(CLUSTER, insecure=True)
    assert "http://127.0.0.1:8001  pid 3" in text
    assert "nats://127.0.0.1:4222  pid 1" in text
    assert "pid None" not in up.banner({**CLUSTER, "nats": {"url": "nats://a:1", "pid": None}}, insecure=True)


def test_insecure_is_said_aloud_and_only_where_it_is_so() -> None:
    """Whoever runs an open cluster reads that it is open."""
    assert "Insecure" in up.banner(CLUSTER, insecure=True)
    assert "Insecure" not in up.banner(CLUSTER, insecure=False)


def test_the_development_settings_keep_what_up_promises() -> None:
    """Without --config everybody may do everything, and channels keep enough history to recover from."""
    config = read_config(up.DEVELOPMENT)
    assert config.client.insecure
    assert config.http_api.insecure
    assert config.demo.enabled
    assert config.channel.without_namespace.keeps_history
    assert config.channel.without_namespace.force_recovery


def test_lines_are_prefixed_and_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file gets plain lines; on a terminal each process keeps one colour."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for output, expected in (
        (io.StringIO(), "node-1      | hello\n"),
        (Terminal(), "\033[36mnode-1      |\033[0m hello\n"),
    ):
        monkeypatch.setattr(sys, "stdout", output)
        screen = up.Screen(2, insecure=False)
        screen.child("node-1", "hello")
        screen.child("node-1", "hello")
        assert output.getvalue() == expected * 2


@pytest.mark.parametrize("arguments", [["--nodes", "0"], ["--nodes", "x"], ["--http-port", "x"]])
def test_wrong_numbers_are_wrong_usage(arguments: list[str]) -> None:
    """What cannot be a count or a port is refused before anything is done."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(["up", *arguments])
    assert exit_.value.code == 2


def test_a_bad_config_is_said_once_and_nothing_starts(tmp_path: Path) -> None:
    """One message from `up`, not one from every node."""
    config = tmp_path / "bad.yaml"
    config.write_text("clien: {}\n")
    command = [sys.executable, "-P", "-m", "deploy.cli", "up", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("clien: unknown key") == 1
    assert done.stdout == ""


def test_what_nats_says_of_its_health_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The screen belongs to the nodes: of nats-server it shows warnings and errors."""
    screen = up.Screen(2, insecure=False)
    screen.child("nats", "[1] 2026/01/01 00:00:00 [INF] Server is ready")
    screen.child("nats", "[1] 2026/01/01 00:00:00 [WRN] Slow consumer")
    assert capsys.readouterr().out == "nats        | [1] 2026/01/01 00:00:00 [WRN] Slow consumer\n"
