"""Addresses of NATS servers: reading them, and showing them."""

import pytest

from node.config.nats_urls import Server, hide_logins, parse_servers


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("nats://h:1", Server("h", 1, tls_name="h")),
        ("h", Server("h", 4222, tls_name="h")),
        ("tls://h", Server("h", 4222, tls=True, tls_name="h")),
        ("nats://u:p%40%2C@h", Server("h", 4222, user="u", password="p@,", tls_name="h")),
        ("nats://u:@h", Server("h", 4222, user="u", tls_name="h")),
        ("t%3Ak@h/", Server("h", 4222, token="t:k", tls_name="h")),
        ("nats://[::1]:5", Server("::1", 5, tls_name="::1")),
    ],
)
def test_urls_are_read(url: str, server: Server) -> None:
    """Scheme, credentials, host and port come from the URL, percent-encoding undone."""
    assert parse_servers(url) == [server]
    assert parse_servers(f" {url} , x:2")[1].port == 2


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a,,b",
        "ws://h",
        "nats://u:secret@h:port",
        "nats://:4222",
        "h/path",
        "h:70000",
        "[::1",
        "//s℀cret@h",
    ],
)
def test_a_bad_url_is_named_by_its_number(url: str) -> None:
    """The message says which address is wrong and does not show it, since it may hold a password."""
    with pytest.raises(ValueError, match=r"broker\.nats\.url: address \d") as caught:
        parse_servers(url)
    assert "secret" not in str(caught.value)


def test_credentials_are_not_shown() -> None:
    """A server in a log is its host and port."""
    (server,) = parse_servers("nats://secret:secret@h:1")
    assert str(server) == "h:1"
    assert "secret" not in repr(server)
    assert str(Server("::1", 2)) == "[::1]:2"


@pytest.mark.parametrize(
    ("urls", "shown"),
    [
        ("nats://h:1,tls://i", "nats://h:1,tls://i"),
        ("nats://u:secret@h:1,nats://secret@i", "nats://(hidden)@h:1,nats://(hidden)@i"),
        ("secret@h", "(hidden)@h"),
        ("nats://u:sec@ret@h", "nats://(hidden)@h"),
        ("nats://u:sec//ret@h", "nats://(hidden)@h"),
    ],
)
def test_shown_addresses_have_no_login(urls: str, shown: str) -> None:
    """Whatever stands before the host is hidden, with or without a scheme, encoded or not."""
    assert hide_logins(urls) == shown
