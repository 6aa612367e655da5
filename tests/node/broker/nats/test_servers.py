"""Addresses of servers: reading them, their order, what is learnt, and the delay between attempts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.broker.nats.servers import Server, ServerPool, parse_servers, reconnect_delay_s


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


def test_every_server_has_its_turn() -> None:
    """Servers are tried one after the other, each once per round, in an order that differs between feeds."""
    servers = parse_servers("a,b,c,d")
    orders = set()
    for seed in range(20):
        pool = ServerPool(servers, random.Random(seed))
        round_ = [pool.next() for _ in servers]
        assert sorted(s.host for s in round_) == ["a", "b", "c", "d"]
        assert [pool.next() for _ in servers] == round_
        orders.add(tuple(s.host for s in round_))
    assert len(orders) > 5


def test_learnt_servers_come_and_go() -> None:
    """INFO's addresses get in line with the teller's credentials and certificate name, and leave again."""
    (teller,) = parse_servers("tls://u:p@nats.example:1")
    pool = ServerPool([teller], random.Random(1))
    assert not pool.has_other(teller)
    pool.learn(teller, ["10.0.0.2:4222", "other.example:4223", "nats.example:1", "bad:port"])
    assert pool.has_other(teller)
    found = {pool.next() for _ in range(3)}
    assert found == {
        teller,
        Server("10.0.0.2", 4222, True, "u", "p", tls_name="nats.example"),
        Server("other.example", 4223, True, "u", "p", tls_name="other.example"),
    }
    pool.learn(teller, [])
    assert pool.next() == pool.next() == teller
    assert not pool.has_other(teller)


@given(st.integers(0, 10_000), st.floats(0.1, 60), st.integers())
def test_the_delay_has_full_jitter_and_a_limit(attempt: int, delay_max_s: float, seed: int) -> None:
    """The delay lies between 0 and min(limit, 0.1 * 2**attempt), however many attempts there were."""
    delay_s = reconnect_delay_s(attempt, delay_max_s, random.Random(seed))
    assert 0 <= delay_s <= delay_max_s
    assert attempt > 20 or delay_s <= 0.1 * 2**attempt


def test_the_delay_spreads() -> None:
    """Two nodes that lose the same server do not come back together."""
    rng = random.Random(1)
    delays = [reconnect_delay_s(10, 3.0, rng) for _ in range(200)]
    assert min(delays) < 0.2
    assert max(delays) > 2.8
