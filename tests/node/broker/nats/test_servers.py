"""Addresses of servers: their order, what is learnt, and the delay between attempts."""

import random

from hypothesis import given
from hypothesis import strategies as st

from node.broker.nats.servers import ServerPool, reconnect_delay_s
from node.config.nats_urls import Server, parse_servers


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
    pool.learn(teller, ["10.0.0.2:4222", "other.example:4223", "nats.example:1", "bad:port"])
    found = {pool.next() for _ in range(3)}
    assert found == {
        teller,
        Server("10.0.0.2", 4222, True, "u", "p", tls_name="nats.example"),
        Server("other.example", 4223, True, "u", "p", tls_name="other.example"),
    }
    pool.learn(teller, [])
    assert pool.next() == pool.next() == teller


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
