"""Loading a configuration from all its layers."""

from pathlib import Path
from typing import Any

import pytest

from node.config.errors import ConfigError, InvalidConfig
from node.config.load import load
from node.config.options import Config, Duration


def from_text(directory: Path, text: str) -> Config:
    path = directory / "node.yaml"
    path.write_text(text)
    return load(path, {})


def problems_of(directory: Path, text: str) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        from_text(directory, text)
    return [f"{problem.path}: {problem.text}" for problem in caught.value.problems]


def test_nothing_given_is_the_defaults() -> None:
    """A node starts without a file."""
    assert load(None, {}) == Config()


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    """Sections nest, lists become tuples, time spans become seconds, and the rest keeps its defaults."""
    config = from_text(
        tmp_path,
        """
        client:
          token: {hmac_secret_key: secret}
          allowed_origins: ["https://example.com"]
          ping_interval: 30s
        log:
        channel:
          without_namespace: {history_size: 10, history_ttl: 5m}
          namespaces:
            - name: news
              history_size: 100
              history_ttl: 1h30m
        history: {check_delays_s: [50ms, 1]}
        """,
    )
    assert config.client.token.hmac_secret_key == "secret"
    assert config.client.allowed_origins == ("https://example.com",)
    assert config.client.ping_interval == 30.0
    assert isinstance(config.client.ping_interval, Duration)
    assert config.channel.without_namespace.history_ttl == 300.0
    assert [(n.name, n.history_size, n.history_ttl) for n in config.channel.namespaces] == [
        ("news", 100, 5400.0)
    ]
    assert config.history.check_delays_s == (0.05, 1.0)
    assert config.client.channel_limit == 128


def test_later_layers_win(tmp_path: Path) -> None:
    """Command line over environment over file over defaults."""
    path = tmp_path / "node.yaml"
    path.write_text("http_server: {port: 1, backlog: 1, head_bytes_max: 1}")
    environ = {"BROADCAST_HTTP_SERVER_PORT": "2", "BROADCAST_HTTP_SERVER_BACKLOG": "2", "HOME": "/"}
    server = load(path, environ, {"http_server.port": "3"}).http_server
    assert (server.port, server.backlog, server.head_bytes_max, server.keep_alive_s) == (3, 2, 1, 75)


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("CLIENT_TOKEN_HMAC_SECRET_KEY", "x" * 40, "client.token.hmac_secret_key", "x" * 40),
        ("CLIENT_INSECURE", "Yes", "client.insecure", True),
        ("CLIENT_INSECURE", "0", "client.insecure", False),
        ("HTTP_SERVER_PORT", " 8080 ", "http_server.port", 8080),
        ("SHUTDOWN_TIMEOUT", "1m", "shutdown.timeout", 60.0),
        ("LOG_FORMAT", "json", "log.format", "json"),
        (
            "CLIENT_ALLOWED_ORIGINS",
            "https://a, https://b",
            "client.allowed_origins",
            ("https://a", "https://b"),
        ),
        ("CLIENT_ALLOWED_ORIGINS", "", "client.allowed_origins", ()),
        ("HISTORY_CHECK_DELAYS_S", "50ms,1", "history.check_delays_s", (0.05, 1.0)),
    ],
)
def test_every_kind_of_option_can_come_from_the_environment(
    name: str, text: str, path: str, value: object
) -> None:
    """Text becomes the option's type."""
    found: Any = load(None, {f"BROADCAST_{name}": text})
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


def test_namespaces_come_from_the_environment_as_json() -> None:
    """The one option that is no scalar has its JSON form."""
    config = load(
        None, {"BROADCAST_CHANNEL_NAMESPACES": '[{"name": "news", "history_size": 1, "history_ttl": "1s"}]'}
    )
    assert config.channel.namespaces[0].history_ttl == 1.0


def test_overrides_may_be_values_text_or_absent() -> None:
    """The command line hands over what it parsed; None is an option nobody gave."""
    config = load(
        None,
        {},
        {
            "client.insecure": True,
            "http_server.port": None,
            "shutdown.timeout": "5s",
            "channel.namespaces": [],
        },
    )
    assert (config.client.insecure, config.http_server.port, config.shutdown.timeout) == (True, 8000, 5.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clinet: {}", "clinet: unknown key; did you mean `client`?"),
        ("client: {pong_timout: 1}", "client.pong_timout: unknown key; did you mean `pong_timeout`?"),
        ("client: {history_size: 1}", "belongs in channel.without_namespace or channel.namespaces[]"),
        ("port: 1", "port: unknown key; `port` belongs in http_server"),
        ("log: {zzzz: 1}", "log.zzzz: unknown key; known here: format, level"),
        (
            "channel: {namespaces: [{name: news, histroy_size: 1}]}",
            "[0].histroy_size: unknown key; did you mean `h",
        ),
        ("1: 2", "1: unknown key"),
    ],
)
def test_an_unknown_key_names_the_nearest(tmp_path: Path, text: str, said: str) -> None:
    """A misspelt key is found, a key in the wrong section is told the right one."""
    (problem,) = problems_of(tmp_path, text)
    assert said in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("client: {insecure: 1}", "client.insecure: expected true or false; found 1"),
        ("client: {insecure: 'true'}", 'client.insecure: expected true or false; found "true"'),
        (
            "http_server: {port: '80'}",
            'http_server.port: expected a whole number, for example 300; found "80"',
        ),
        ("http_server: {port: true}", "http_server.port: expected a whole number"),
        ("http_server: {port: 80.5}", "found 80.5"),
        ("node: {name: 5}", 'node.name: expected text, for example "news" (numbers in quotes); found 5'),
        ("node: {name: }", "node.name: expected text"),
        (
            "client: {ping_interval: 5 minutes}",
            "client.ping_interval: expected a time span, for example 30 (seconds)",
        ),
        (
            "log: {level: loud}",
            'log.level: expected one of "debug", "info", "warning", "error"; found "loud"',
        ),
        ("client: {allowed_origins: https://a}", "client.allowed_origins: expected a list"),
        ("client: {allowed_origins: [https://a, 5]}", "client.allowed_origins[1]: expected text"),
        ("client: 5", "client: expected a section with "),
        ("channel: {namespaces: {news: {}}}", "channel.namespaces: expected a list of namespaces"),
        ("channel: {namespaces: [news]}", "channel.namespaces[0]: expected a namespace"),
        ("channel: {namespaces: [{}]}", "channel.namespaces[0].name: is missing"),
        (
            "channel: {namespaces: [{name: ab, history_size: x}]}",
            "channel.namespaces[0].history_size: expected a",
        ),
    ],
)
def test_a_wrong_type_says_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    """Each message has the path, what fits, an example, and what was found."""
    problem = problems_of(tmp_path, text)[0]
    assert said in problem


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """Types, unknown keys and contradictions, of the file and the environment, in one go."""
    path = tmp_path / "node.yaml"
    path.write_text("http_server: {port: x}\nclinet: {}\nclient: {ping_interval: 5, pong_timeout: 8}\n")
    environ = {"BROADCAST_CLIENT_CHANNEL_LIMIT": "many", "BROADCAST_HISTORY_CHECK_BATCH": "5000"}
    with pytest.raises(InvalidConfig) as caught:
        load(path, environ)
    assert [(problem.source, problem.path) for problem in caught.value.problems] == [
        (str(path), "http_server.port"),
        (str(path), "clinet"),
        ("BROADCAST_CLIENT_CHANNEL_LIMIT", "client.channel_limit"),
        (str(path), "client.pong_timeout"),
        ("BROADCAST_HISTORY_CHECK_BATCH", "history.check_batch"),
    ]
    assert str(caught.value).count("\n") == 4
    assert isinstance(caught.value, ConfigError)


def test_a_contradiction_of_two_layers_names_both(tmp_path: Path) -> None:
    """Whoever reads the message finds both places."""
    path = tmp_path / "node.yaml"
    path.write_text("client: {pong_timeout: 30}")
    with pytest.raises(
        InvalidConfig, match=rf"{path}, command line: client\.pong_timeout: is 30 s and must be"
    ):
        load(path, {}, {"client.ping_interval": 20})


def test_a_wrong_type_causes_no_second_complaint(tmp_path: Path) -> None:
    """A relation is not checked with a default in the place of what could not be read."""
    text = (
        "client: {ping_interval: often, pong_timeout: 100}\n"
        "channel: {namespaces: [{name: a, history_size: 5, history_ttl: x}]}"
    )
    assert [problem.split(": ")[0] for problem in problems_of(tmp_path, text)] == [
        "client.ping_interval",
        "channel.namespaces[0].history_ttl",
        "channel.namespaces[0].name",
    ]


def test_unknown_variables_and_overrides_name_the_nearest() -> None:
    """A misspelt variable does not silently do nothing."""
    with pytest.raises(InvalidConfig, match=r"unknown variable.* BROADCAST_CLIENT_INSECURE\?"):
        load(None, {"BROADCAST_CLIENT_INSECUR": "true"})
    with pytest.raises(InvalidConfig, match=r"command line: client\.insecur: .* `client\.insecure`\?$"):
        load(None, {}, {"client.insecur": True})


@pytest.mark.parametrize("key", ["client.token.hmac_secret_key", "http_api.key", "broker.nats.password"])
def test_secrets_are_not_quoted_in_errors(tmp_path: Path, key: str) -> None:
    """A key that YAML reads as a number is an error that does not repeat it."""
    *sections, name = key.split(".")
    text = "".join(f"{'  ' * depth}{section}:\n" for depth, section in enumerate(sections))
    (problem,) = problems_of(tmp_path, f"{text}{'  ' * len(sections)}{name}: 918273645\n")
    assert problem.startswith(f"{key}: expected text")
    assert "918273645" not in problem
