"""The feed against a scripted server, which does what a real one does not do on demand."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import structlog
import trio

from node.broker.interface import BrokerUnavailable
from node.broker.nats.feed import Feed
from node.broker.nats.protocol import Msg
from tests.node.broker.nats.feeds import nats_options, running
from tests.patience import PATIENCE_S

INFO = b'INFO {"server_id":"N","max_payload":1000}\r\n'
Script = Callable[["Client"], Awaitable[None]]


class Client:
    """The scripted server's view of one connection of a feed."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.said = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def hear(self, text: bytes) -> None:
        """Read until the feed has said this; forget everything up to it."""
        while text not in self.said:
            data = await self.stream.receive_some(65_536)
            assert data, f"closed before {text!r}"
            self.said += data
        self.said = self.said.partition(text)[2]

    async def accept(self, info: bytes = INFO) -> None:
        """Let the feed in: INFO, CONNECT, PING, PONG, then its subscriptions, PING, PONG."""
        await self.send(info)
        for _ in range(2):
            await self.hear(b"PING\r\n")
            await self.send(b"PONG\r\n")

    async def stay(self) -> None:
        """Say nothing and listen until the feed closes."""
        while await self.stream.receive_some(65_536):
            pass


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[str]:
    """A server whose n-th connection follows the n-th script, and the last one all later ones; its URL."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    left = list(scripts)

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            script = left.pop(0) if len(left) > 1 else left[0]
            with suppress(trio.BrokenResourceError):  # the feed may leave first
                await script(Client(stream))

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, handle, [listener]))
        yield f"nats://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def well(client: Client) -> None:
    """A script: everything in order."""
    await client.accept()
    await client.stay()


@pytest.mark.parametrize(
    "last_words", [b"", b"MSG a 1 10\r\nhal", b"garbage\r\n", b"PONG\r\n", b"HMSG a 1 9 1\r\n"]
)
async def test_a_connection_that_breaks_is_made_again(last_words: bytes) -> None:
    """Half a message, garbage, an answer nobody asked for: each ends the connection, the next one works."""
    got: list[Msg] = []

    async def breaks(client: Client) -> None:
        await client.accept()
        await client.hear(b"PUB go 0\r\n\r\n")
        await client.send(last_words)

    async with serving(breaks, well) as url, running(nats_options(url)) as watched:
        watched.feed.subscribe("a", got.append)
        await watched.calls_are("restored")
        watched.feed.publish("go", b"")
        await watched.calls_are("restored", "broken", "restored")
        assert watched.feed.connected
        assert got == []


async def test_restored_is_said_when_subscriptions_are_in_force() -> None:
    """The feed counts as restored with the PONG behind its subscriptions, not before."""
    heard, go = trio.Event(), trio.Event()

    async def slow(client: Client) -> None:
        await client.send(INFO)
        await client.hear(b"PING\r\n")
        await client.send(b"PONG\r\n")
        await client.hear(b"SUB a 2\r\nPING\r\n")
        heard.set()
        await go.wait()
        await client.send(b"PONG\r\n")
        await client.stay()

    async with serving(slow) as url, running(nats_options(url)) as watched:
        watched.feed.subscribe("a", lambda _: None)
        await heard.wait()
        assert not watched.feed.connected
        assert watched.calls == []
        go.set()
        await watched.calls_are("restored")


async def test_a_subscription_made_while_restoring_is_sent() -> None:
    """What is subscribed and given back between CONNECT and restored reaches this connection, once."""
    lines: list[bytes] = []
    greeted, go = trio.Event(), trio.Event()

    async def slow(client: Client) -> None:
        await client.send(INFO)
        await client.hear(b"PING\r\n")
        await client.send(b"PONG\r\n")
        await client.hear(b"PING\r\n")
        greeted.set()
        await go.wait()
        await client.send(b"PONG\r\n")
        await client.hear(b"UNSUB 2\r\nSUB c 4\r\n")
        lines.append(client.said)
        await client.stay()

    async with serving(slow) as url, running(nats_options(url)) as watched:
        feed = watched.feed
        first = feed.subscribe("a", print)
        feed.subscribe("b", print)
        await greeted.wait()
        feed.unsubscribe(first)
        feed.subscribe("c", print)
        go.set()
        await feed.wait_connected(PATIENCE_S)
        with trio.move_on_after(0.05):
            await feed.flush(PATIENCE_S)
        assert lines in ([b""], [b"PING\r\n"])


async def test_a_question_under_way_ends_with_its_connection_and_is_not_put_to_it_again() -> None:
    """Who asks again at once hears that nobody is connected, and waits for no answer that cannot come."""
    heard: list[str] = []

    async def breaks(client: Client) -> None:
        await client.accept()
        await client.hear(b"PING\r\n")

    async with serving(breaks, well) as url, running(nats_options(url)) as watched:
        await watched.calls_are("restored")
        began_at = trio.current_time()
        for _ in range(2):
            with pytest.raises(BrokerUnavailable) as raised:
                await watched.feed.flush(PATIENCE_S)
            heard.append(str(raised.value))
        assert trio.current_time() - began_at < PATIENCE_S / 2
        assert heard == ["the connection to NATS broke", "not connected to NATS"]
        await watched.calls_are("restored", "broken", "restored")


async def test_a_ping_is_answered() -> None:
    """The server's PING gets its PONG."""
    answered = trio.Event()

    async def pings(client: Client) -> None:
        await client.accept()
        await client.send(b"PING\r\n")
        await client.hear(b"PONG\r\n")
        answered.set()
        await client.stay()

    async with serving(pings) as url, running(nats_options(url)):
        await answered.wait()


async def test_a_black_hole_is_noticed_within_two_intervals() -> None:
    """A server that goes silent is given up after two ping intervals, and pending requests with it."""
    async with serving(well) as url, running(nats_options(url, ping_interval_s=0.2)) as watched:
        await watched.calls_are("restored")
        began_at = trio.current_time()
        with pytest.raises(BrokerUnavailable, match="broke"):
            await watched.feed.request("x", b"", deadline_s=PATIENCE_S)
        assert trio.current_time() - began_at < PATIENCE_S / 2, "it ended with the connection"
        await watched.calls_are("restored", "broken")


async def test_errors_are_counted_and_logged() -> None:
    """Permission and slow consumer errors have their counters, and by themselves they end nothing."""

    async def complains(client: Client) -> None:
        await client.accept()
        await client.send(b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n" * 3)
        await client.send(b"-ERR 'Slow Consumer'\r\n-ERR 'Unknown Protocol Operation'\r\nPING\r\n")
        await client.hear(b"PONG\r\n")
        done.set()
        await client.stay()

    done = trio.Event()
    with structlog.testing.capture_logs() as logs:
        async with serving(complains) as url, running(nats_options(url)) as watched:
            await done.wait()
            feed = watched.feed
            assert (feed.server_errors, feed.permission_errors, feed.slow_consumer_errors) == (5, 3, 1)
            assert feed.counters()["feed_permission_errors"] == 3
            assert feed.connected
    errors = [entry["error"] for entry in logs if "error" in entry]
    assert errors.count('Permissions Violation for Publish to "x"') == 2, "the first and the second of three"
    assert "Slow Consumer" in errors


async def test_a_server_that_is_no_nats_is_retried_and_said() -> None:
    """What does not speak NATS is logged with its reason and tried again, and a good server is found then."""

    async def web(client: Client) -> None:
        await client.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with structlog.testing.capture_logs() as logs:
        async with serving(web, web, well) as url, running(nats_options(url)) as watched:
            await watched.calls_are("restored")
    reasons = [entry["reason"] for entry in logs if entry["event"] == "feed cannot connect"]
    assert reasons[0] == "not a NATS server, or a broken one: unknown operation"


def publish_many(feed: Feed, count: int) -> None:
    for _ in range(count):
        feed.publish("x", b"x" * 1000)


async def test_a_full_outbox_refuses_and_what_was_lost_is_counted() -> None:
    """A server that stops reading fills the outbox and no more; what it never took is counted."""

    async def deaf(client: Client) -> None:
        await client.accept()
        await trio.sleep_forever()

    async with (
        serving(deaf, well) as url,
        running(nats_options(url, ping_interval_s=0.2, outbox_bytes_max=50_000_000)) as watched,
    ):
        feed = watched.feed
        await feed.wait_connected(PATIENCE_S)
        publish_many(feed, 49_000)
        with pytest.raises(BrokerUnavailable, match="outbox_bytes_max"):
            publish_many(feed, 1000)
        assert feed.refused == 1
        await watched.calls_are("restored", "broken", "restored")
        assert feed.bytes_lost > 10_000_000
