"""A feed leaves a server in lame duck mode: when, and what becomes of what is on its way."""

import contextlib

import pytest
import trio

from node.broker.interface import BrokerUnavailable
from node.broker.nats.feed import Feed
from node.broker.nats.protocol import Msg
from tests.node.broker.nats.feeds import nats_options, running
from tests.node.broker.nats.test_feed_breaks import INFO, Client, serving, well
from tests.patience import PATIENCE_S

LAME = INFO.replace(b"{", b'{"ldm":true,')


async def refuses(client: Client) -> None:
    """A script: the connection is closed at once, as by an address where nobody listens any more."""


async def let_go(feed: Feed) -> None:
    """Wait until nothing is written to a connection any more, and it is about to be left."""
    while feed.connected:  # noqa: ASYNC110 - nobody is told before it has ended
        await trio.sleep(0.001)


async def test_a_lame_duck_is_kept_while_nobody_else_takes_us() -> None:
    """Where there is no other server, one in lame duck mode is used until it closes."""
    got: list[bytes] = []
    asked_again = trio.Event()

    async def limps(client: Client) -> None:
        await client.accept()
        await client.send(LAME)
        await asked_again.wait()
        await client.send(b"MSG a 2 2\r\nup\r\nPING\r\n")
        await client.hear(b"PONG\r\n")

    async def full(_client: Client) -> None:
        asked_again.set()

    async with serving(limps, refuses, refuses, full, well) as url, running(nats_options(url)) as watched:
        watched.feed.subscribe("a", lambda msg: got.append(msg.payload))
        await asked_again.wait()
        assert watched.calls == ["restored"]
        await watched.calls_are("restored", "broken", "restored")
        assert got == [b"up"]


async def test_a_lame_duck_is_left_for_a_server_it_named() -> None:
    """The address of another server, learnt from INFO, is where the feed goes."""
    async with serving(well) as other:
        address = other.removeprefix("nats://").encode()
        lame = LAME.replace(b"{", b'{"connect_urls":["%b"],' % address)

        async def limps(client: Client) -> None:
            await client.accept(lame.replace(b"true", b"false"))
            await client.send(lame)
            await client.stay()

        async with serving(limps, refuses) as url, running(nats_options(url)) as watched:
            await watched.calls_are("restored", "broken", "restored")


async def test_what_a_lame_duck_still_has_is_taken_before_it_is_left() -> None:
    """What was published has been read, what the server had is delivered, and then the next has its turn."""
    order: list[str] = []
    written, renewed = trio.Event(), trio.Event()

    def take(msg: Msg) -> None:
        order.append(msg.payload.decode())
        if order[-1] == "new":
            renewed.set()

    async def limps(client: Client) -> None:
        await client.accept()
        await client.send(LAME)
        await client.hear(b"PUB b 4\r\nlast\r\n")
        order.append("published")
        await client.hear(b"PING\r\n")  # the one after which the server has nothing more of ours to read
        await client.send(b"MSG a 2 3\r\nold\r\nPONG\r\n")
        await client.stay()
        order.append("left")

    async def next_one(client: Client) -> None:
        await client.send(INFO)
        await client.hear(b"PING\r\n")
        await written.wait()
        await client.send(b"PONG\r\n")  # accepted: from here on the other one is left
        await client.hear(b"SUB a 2\r\n")
        order.append("subscribed")
        await client.hear(b"PING\r\n")
        await client.send(b"PONG\r\nMSG a 2 3\r\nnew\r\n")
        await client.stay()

    async with serving(limps, next_one) as url, running(nats_options(url)) as watched:
        feed = watched.feed
        feed.subscribe("a", take)
        await watched.calls_are("restored")
        feed.publish("b", b"last")
        written.set()
        await let_go(feed)
        with pytest.raises(BrokerUnavailable):
            feed.publish("b", b"it would be lost")
        await watched.calls_are("restored", "broken", "restored")
        await renewed.wait()
    assert order == ["published", "old", "left", "subscribed", "new"]
    assert feed.bytes_lost == 0


async def test_a_flush_ends_behind_what_the_lame_duck_still_had() -> None:
    """Who waits until everything older has been delivered waits for the server that is being left, too."""
    order: list[str] = []
    asked = trio.Event()

    async def limps(client: Client) -> None:
        await client.accept()
        await client.send(LAME)
        await client.hear(b"PING\r\n")
        await asked.wait()
        await client.send(b"MSG a 2 3\r\nold\r\nPONG\r\n")
        await client.stay()

    async with serving(limps, well) as url, running(nats_options(url)) as watched:
        watched.feed.subscribe("a", lambda msg: order.append(msg.payload.decode()))
        await watched.calls_are("restored")
        await let_go(watched.feed)
        async with trio.open_nursery() as nursery:

            async def flush() -> None:
                with contextlib.suppress(BrokerUnavailable):
                    await watched.feed.flush(PATIENCE_S)
                order.append("flushed")

            nursery.start_soon(flush)
            await trio.testing.wait_all_tasks_blocked(0.01)
            asked.set()
    assert order == ["old", "flushed"]


async def test_a_lame_duck_that_closes_first_is_followed_at_once_by_who_accepted_us() -> None:
    """A connection that was made in advance is used, whatever ends the one before."""
    accepted = trio.Event()

    async def limps(client: Client) -> None:
        await client.accept()
        await client.send(LAME)
        await accepted.wait()

    async def next_one(client: Client) -> None:
        await client.send(INFO)
        await client.hear(b"PING\r\n")
        await client.send(b"PONG\r\n")
        accepted.set()
        await client.hear(b"PING\r\n")
        await client.send(b"PONG\r\n")
        await client.stay()

    async with serving(limps, next_one, refuses) as url, running(nats_options(url)) as watched:
        await watched.calls_are("restored", "broken", "restored")


async def test_a_feed_that_ends_closes_both_connections() -> None:
    """Nothing stays open of a feed that is cancelled while it goes from one server to another."""
    closed = trio.Event()

    async def limps(client: Client) -> None:
        await client.accept()
        await client.send(LAME)
        await client.stay()  # and never answers the last PING

    async def next_one(client: Client) -> None:
        await client.send(INFO)
        await client.hear(b"PING\r\n")
        await client.send(b"PONG\r\n")
        await client.stay()
        closed.set()

    async with serving(limps, next_one) as url:
        async with running(nats_options(url)) as watched:
            await watched.calls_are("restored")
            await let_go(watched.feed)
        with trio.fail_after(PATIENCE_S):
            await closed.wait()
