"""The feed against a real nats-server: deliveries, requests, and everything that survives a break."""

import signal
from collections.abc import Iterator

import nats
import pytest
import trio
import trio.testing

from node.broker.interface import BrokerUnavailable, MessageTooLarge
from node.broker.nats.envelope import server_value
from node.broker.nats.feed import Feed
from node.broker.nats.protocol import Msg
from tests import plain_asyncio
from tests.nats_server import NatsCluster, NatsServer
from tests.node.broker.nats.feeds import nats_options, running
from tests.patience import PATIENCE_S


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    """A server the tests share; who stops one starts its own."""
    with NatsServer("max_payload: 1000") as server:
        yield server


class Box:
    """Collects what is delivered."""

    def __init__(self) -> None:
        self.messages: list[Msg] = []
        self.arrived = trio.Event()

    def __call__(self, message: Msg) -> None:
        self.messages.append(message)
        self.arrived.set()
        self.arrived = trio.Event()

    async def holds(self, *payloads: bytes) -> None:
        """Wait until exactly these payloads have come, in this order."""
        while len(self.messages) < len(payloads):
            await self.arrived.wait()
        assert [message.payload for message in self.messages] == list(payloads)


async def test_publish_reaches_subscribers_in_order(server: NatsServer) -> None:
    """After `flush` a subscription gets all that is published, in order, by subject and wildcard."""
    async with running(nats_options(server.url)) as watched:
        feed = watched.feed
        one, all_ = Box(), Box()
        feed.subscribe("order.1", one)
        await feed.wait_connected(PATIENCE_S)
        feed.subscribe("order.*", all_)
        await feed.flush(PATIENCE_S)
        for number in range(500):
            feed.publish(f"order.{number % 2}", b"%d" % number)
        await all_.holds(*(b"%d" % n for n in range(500)))
        await one.holds(*(b"%d" % n for n in range(1, 500, 2)))
        assert feed.messages_in == 750
        assert feed.messages_out == 500
        assert watched.calls == ["restored"]


async def test_headers_reply_and_empty_payload_travel(server: NatsServer) -> None:
    """A message arrives with the headers, the reply subject and the payload it was sent with."""
    async with running(nats_options(server.url)) as watched:
        feed, box = watched.feed, Box()
        feed.subscribe("rich", box)
        await feed.wait_connected(PATIENCE_S)
        feed.publish("rich", b"", "NATS/1.0\r\nTag: é\r\nTag: 2\r\n\r\n".encode(), reply="back")
        await box.holds(b"")
        (message,) = box.messages
        assert message.headers == "NATS/1.0\r\nTag: é\r\nTag: 2\r\n\r\n".encode()
        assert (message.subject, message.reply) == (b"rich", b"back")


async def test_unsubscribe_takes_effect_at_once(server: NatsServer) -> None:
    """A subscription given back gets nothing more, also of what has arrived already."""
    async with running(nats_options(server.url)) as watched:
        feed, seen = watched.feed, []

        def first_only(message: Msg) -> None:
            seen.append(message.payload)
            feed.unsubscribe(subscription)

        subscription = feed.subscribe("once", first_only)
        await feed.wait_connected(PATIENCE_S)
        feed.publish("once", b"1")
        feed.publish("once", b"2")
        await feed.flush(PATIENCE_S)
        assert seen == [b"1"]
        assert feed.unclaimed == 1


async def test_requests_get_their_answers(server: NatsServer) -> None:
    """Many requests at once share one inbox and each gets its own answer; several answers come as a list."""
    async with running(nats_options(server.url)) as watched:
        feed = watched.feed

        def answer(message: Msg) -> None:
            for number in range(int(server_value(message.headers, b"Count") or 1)):
                feed.publish(message.reply.decode(), message.payload + b"%d" % number)

        feed.subscribe("ask", answer)
        await feed.wait_connected(PATIENCE_S)
        answers = {}

        async def ask(number: int) -> None:
            answers[number] = (await feed.request("ask", b"%d/" % number, deadline_s=PATIENCE_S)).payload

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, number)
        assert answers == {number: b"%d/0" % number for number in range(50)}
        headers = b"NATS/1.0\r\nCount: 4\r\n\r\n"
        found = await feed.request_many(
            "ask", b"", headers, is_last=lambda m: m.payload == b"2", deadline_s=PATIENCE_S
        )
        assert [m.payload for m in found] == [b"0", b"1", b"2"]


async def test_requests_that_fail_say_why(server: NatsServer) -> None:
    """Nobody who listens is told at once, an answer that does not come at the deadline."""
    async with running(nats_options(server.url)) as watched:
        feed = watched.feed
        await feed.wait_connected(PATIENCE_S)
        with pytest.raises(BrokerUnavailable, match="nobody answers requests to nobody"):
            await feed.request("nobody", b"", deadline_s=PATIENCE_S)
        feed.subscribe("mute", lambda _: None)
        with pytest.raises(BrokerUnavailable, match=r"no last answer within 0\.05 s"):
            await feed.request("mute", b"", deadline_s=0.05)


async def test_what_is_too_much_is_refused(server: NatsServer) -> None:
    """A message over the server's limit, and one the outbox has no room for, are refused and not sent."""
    async with running(nats_options(server.url, outbox_bytes_max=2000)) as watched:
        feed = watched.feed
        await feed.wait_connected(PATIENCE_S)
        with pytest.raises(MessageTooLarge, match=r"1001 bytes .* 1000"):
            feed.publish("x", b"x" * 1001)
        feed.publish("x", b"x" * 900)
        feed.publish("x", b"x" * 900)
        with pytest.raises(BrokerUnavailable, match="outbox_bytes_max"):
            feed.publish("x", b"x" * 900)
        assert feed.refused == 1
        await feed.flush(PATIENCE_S)
        feed.publish("x", b"x" * 900)
        await feed.flush(PATIENCE_S)
        assert watched.calls == ["restored"]


async def test_nothing_works_and_nothing_hangs_without_a_server() -> None:
    """Not connected, every call fails at once or at its deadline, and subscribing is still allowed."""
    with NatsServer() as server:
        server.stop()
        async with running(nats_options(server.url)) as watched:
            feed, box = watched.feed, Box()
            subscription = feed.subscribe("early", box)
            feed.unsubscribe(feed.subscribe("never", box))
            with pytest.raises(BrokerUnavailable, match="not connected"):
                feed.publish("early", b"")
            with pytest.raises(BrokerUnavailable, match="not connected"):
                await feed.flush(PATIENCE_S)
            with pytest.raises(BrokerUnavailable, match="not connected"):
                await feed.request("early", b"", deadline_s=PATIENCE_S)
            with pytest.raises(BrokerUnavailable, match=r"not connected to NATS within 0\.05 s"):
                await feed.wait_connected(0.05)
            assert not feed.connected
            assert feed.disconnected_for_s >= 0.05
            assert watched.calls == []
            await trio.to_thread.run_sync(server.start)
            await watched.calls_are("restored")
            assert feed.connected
            assert feed.disconnected_for_s == 0.0
            feed.publish("early", b"1")
            await box.holds(b"1")
            assert box.messages[0].sid == subscription.sid


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_restarted_server_is_found_again(how: str) -> None:
    """A break is told once, pending calls fail at once, and all subscriptions are in force again after."""
    with NatsServer() as server:
        async with running(nats_options(server.url)) as watched:
            feed = watched.feed
            boxes = {number: Box() for number in range(200)}
            for number, box in boxes.items():
                feed.subscribe(f"again.{number}", box)
            feed.subscribe("mute", lambda _: None)
            await feed.wait_connected(PATIENCE_S)
            began_at = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(expect_unavailable, feed)
                await trio.testing.wait_all_tasks_blocked()
                await trio.to_thread.run_sync(getattr(server, how))
            assert trio.current_time() - began_at < PATIENCE_S / 2, (
                "the request ended with the connection, not at its deadline"
            )
            await watched.calls_are("restored", "broken")
            assert not feed.connected
            await trio.to_thread.run_sync(server.start)
            await watched.calls_are("restored", "broken", "restored")
            assert feed.reconnects == 1
            for number, box in boxes.items():
                feed.publish(f"again.{number}", b"%d" % number)
                await box.holds(b"%d" % number)


async def expect_unavailable(feed: Feed) -> None:
    with pytest.raises(BrokerUnavailable, match="broke"):
        await feed.request("mute", b"", deadline_s=PATIENCE_S)


async def test_a_frozen_server_is_noticed_within_two_intervals(server: NatsServer) -> None:
    """A server that keeps its sockets and says nothing is given up after two ping intervals."""
    with NatsServer() as frozen:
        async with running(nats_options(frozen.url, ping_interval_s=1)) as watched:
            await watched.calls_are("restored")
            frozen.freeze()
            began_at = trio.current_time()
            with pytest.raises(BrokerUnavailable, match="broke"):
                await watched.feed.flush(PATIENCE_S)
            assert trio.current_time() - began_at < PATIENCE_S / 2, "it ended with the connection"
            await watched.calls_are("restored", "broken")
            frozen.thaw()
            await watched.calls_are("restored", "broken", "restored")


async def test_the_cluster_takes_over() -> None:
    """Told of one server, the feed learns the others and moves to one of them, subscriptions and all."""
    with NatsCluster(3) as cluster:
        first = cluster.servers[0]
        async with running(nats_options(first.url)) as watched:
            feed, box = watched.feed, Box()
            feed.subscribe("moved", box)
            await feed.wait_connected(PATIENCE_S)
            assert feed.server_info.server_name == first.name
            await trio.to_thread.run_sync(first.kill)
            await watched.calls_are("restored", "broken", "restored")
            assert feed.server_info.server_name != first.name
            feed.publish("moved", b"1")
            await box.holds(b"1")


async def test_a_lame_duck_is_left(server: NatsServer) -> None:
    """A server that is about to stop is left for another before it closes the connection."""
    with NatsCluster(2) as cluster:
        async with running(nats_options(cluster.url)) as watched:
            await watched.calls_are("restored")
            names = {s.name: s for s in cluster.servers}
            duck = names[watched.feed.server_info.server_name]
            duck.send_signal(signal.SIGUSR2)
            await watched.calls_are("restored", "broken", "restored")
            assert watched.feed.server_info.server_name != duck.name


async def test_nats_py_is_understood(server: NatsServer) -> None:
    """Messages and requests to and from another client library arrive whole in both directions."""

    async def other_side() -> tuple[bytes, dict[str, str] | None]:
        client = await nats.connect(server.url)
        await client.publish("to.us", b"hello", headers={"From": "nats-py"})
        answer = await client.request("echo", b"ping", timeout=PATIENCE_S)
        await client.close()
        return answer.data, answer.headers

    async with running(nats_options(server.url)) as watched:
        feed, box = watched.feed, Box()

        def echo(message: Msg) -> None:
            feed.publish(message.reply.decode(), message.payload * 2, b"NATS/1.0\r\nA: 1\r\n\r\n")

        feed.subscribe("to.us", box)
        feed.subscribe("echo", echo)
        await feed.wait_connected(PATIENCE_S)
        await feed.flush(PATIENCE_S)
        answered = await trio.to_thread.run_sync(plain_asyncio.run, other_side())
        await box.holds(b"hello")
        assert server_value(box.messages[0].headers, b"From") == b"nats-py"
        assert answered == (b"pingping", {"A": "1"})


async def test_a_deliver_that_raises_is_a_crash(server: NatsServer) -> None:
    """A bug in a `deliver` ends the feed with that error instead of being swallowed."""

    def broken(message: Msg) -> None:
        raise LookupError("a bug")

    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        async with running(nats_options(server.url)) as watched:
            watched.feed.subscribe("bug", broken)
            await watched.feed.wait_connected(PATIENCE_S)
            watched.feed.publish("bug", b"")
            await trio.sleep_forever()


async def test_cancelling_leaves_nothing_behind(server: NatsServer) -> None:
    """A cancelled feed is not connected any more and has closed its connection."""
    async with running(nats_options(server.url)) as watched:
        await watched.feed.wait_connected(PATIENCE_S)
    assert not watched.feed.connected
    with pytest.raises(BrokerUnavailable):
        watched.feed.publish("x", b"")
    assert watched.calls == ["restored"]
