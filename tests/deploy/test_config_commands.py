"""Tests of `check-config`, `token`, `node` up to the node itself, and `test` up to pytest itself."""

import argparse
import json
import os
from pathlib import Path

import pytest

from deploy import cli
from deploy.commands import coordinator, node
from deploy.commands import test as test_command
from deploy.configs import overrides, read_config
from deploy.errors import UserError
from node.config.coordination import CoordinatorOptions
from node.config.options import Config, HttpServerOptions, NodeOptions
from node.config.tls import ServerTlsOptions

DEVELOPMENT = Path(cli.__file__).with_name("development.yaml")
SECRET = "s" * 32


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(f"client:\n  token:\n    hmac_secret_key: {SECRET}\nhttp_api:\n  key: {SECRET}\n")
    return path


def test_check_config_shows_settings_and_hides_secrets(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The effective settings are printed, defaults included, and no secret is."""
    assert cli.main(["check-config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "ping_interval: 25s" in shown
    assert SECRET not in shown
    assert cli.main(["check-config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["client"]["ping_interval"] == "25s"


def test_check_config_warns_of_what_is_risky(capsys: pytest.CaptureFixture[str]) -> None:
    """The development settings of `up` are valid, and what is open in them is said."""
    assert cli.main(["check-config", str(DEVELOPMENT)]) == 0
    assert "client.insecure is on" in capsys.readouterr().err
    assert cli.main(["check-config", str(DEVELOPMENT), "--json"]) == 0
    assert "client.insecure is on" in json.loads(capsys.readouterr().out)["warnings"][0]


def test_check_config_fails_on_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file and an unknown key are exit code 1 and a message without a traceback."""
    assert cli.main(["check-config", str(tmp_path / "none.yaml")]) == 1
    (tmp_path / "bad.yaml").write_text("clien: {}\n")
    assert cli.main(["check-config", str(tmp_path / "bad.yaml")]) == 1
    error = capsys.readouterr().err
    assert "none.yaml: cannot be read" in error
    assert "did you mean `client`" in error


def test_an_address_no_node_could_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that cannot be is said by `check-config`, and by `node` without a traceback; never the login."""
    (tmp_path / "bad.yaml").write_text("broker: {nats: {url: 'nats://u:secret@h:99999'}}\n")
    assert cli.main(["check-config", str(tmp_path / "bad.yaml")]) == 1
    assert cli.main(["node", "--nats", "nats://u:secret@h:99999"]) == 1
    error = capsys.readouterr().err
    assert error.count("broker.nats.url: is not") == 2
    assert "secret" not in error


def test_token_is_printed_alone(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The token can be put into a variable: nothing else is on standard output."""
    assert cli.main(["token", "--user", "ann", "--config", str(config)]) == 0
    assert capsys.readouterr().out.count(".") == 2
    assert cli.main(["token", "--user", "ann", "--ttl", "0", "--json", "--config", str(config)]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["user"] == "ann"
    assert made["expires_at"] is None


def test_token_needs_a_secret_and_a_real_ttl(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key there is nothing to sign with, and the message says where keys come from."""
    assert cli.main(["token", "--user", "ann"]) == 1
    assert "--config FILE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["token", "--user", "ann", "--ttl", "soon", "--config", str(config)])


def test_settings_of_the_command_line_win(config: Path) -> None:
    """`--set` overrides the file; a name that is no option is refused."""
    assert read_config(config, {"log.level": "debug", "node.name": None}).log.level == "debug"
    with pytest.raises(UserError, match=r"log\.levl"):
        read_config(config, {"log.levl": "debug"})
    with pytest.raises(SystemExit):
        cli.main(["token", "--user", "a", "--set", "log.level"])


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")])
@pytest.mark.parametrize("grpc_port", [0, 9000])
def test_a_node_tells_its_parent_where_it_listens(host: str, url: str, grpc_port: int) -> None:
    """The parent reads one line with the name, the process and the bound port, then the end."""
    reading, writing = os.pipe()
    node.announce(writing, Config(node=NodeOptions(name="n")), host, 80, grpc_port)
    grpc = grpc_port and f"{url.removeprefix('http://').removesuffix('80')}{grpc_port}"
    with os.fdopen(reading) as pipe:
        assert json.loads(pipe.read()) == {
            "name": "n",
            "pid": os.getpid(),
            "http": url,
            "grpc": grpc or None,
        }


def test_a_node_with_tls_says_https() -> None:
    """What the parent passes on can be used as it is."""
    reading, writing = os.pipe()
    config = Config(http_server=HttpServerOptions(tls=ServerTlsOptions(enabled=True)))
    node.announce(writing, config, "127.0.0.1", 443)
    with os.fdopen(reading) as pipe:
        assert json.loads(pipe.read())["http"] == "https://127.0.0.1:443"


def test_a_coordinator_with_tls_says_https() -> None:
    """As a node does."""
    reading, writing = os.pipe()
    config = Config(coordinator=CoordinatorOptions(tls=ServerTlsOptions(enabled=True)))
    coordinator.announce(writing, config, "127.0.0.1", 7000, 7001)
    with os.fdopen(reading) as pipe:
        assert json.loads(pipe.read())["http"] == "https://127.0.0.1:7000"


def test_test_passes_on_what_it_does_not_know() -> None:
    """What follows is pytest's: it gets the user's words in their order, after our choice of tests."""
    parsed = argparse.Namespace(quick=True, rest=["-k", "x", "tests/deploy"])
    assert test_command.pytest_arguments(parsed) == [
        *["-m", "pytest", "-m", "not slow"],
        *["-k", "x", "tests/deploy"],
    ]
    parsed = argparse.Namespace(quick=False, rest=[])
    assert test_command.pytest_arguments(parsed) == ["-m", "pytest"]


def test_a_setting_holds_unless_the_commands_own_option_says_otherwise() -> None:
    """`--set broker.nats.url=...` is not undone by a `--nats` that was not given."""
    arguments = argparse.Namespace(settings=[("broker.nats.url", "nats://set:1"), ("node.name", "set")])
    told = overrides(arguments, {"broker.nats.url": None, "node.name": "given"})
    assert told == {"broker.nats.url": "nats://set:1", "node.name": "given"}
