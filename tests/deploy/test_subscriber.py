"""Tests of `deploy.subscriber` and `broadcast subscribe`, against a WebSocket server with a script."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from deploy.commands import subscribe
from deploy.errors import UserError
from deploy.subscriber import Enough, endpoint, follow
from deploy.subscription import Subscription
from node.protocol.messages import Publication, StreamPosition
from tests.patience import PATIENCE_S

Session = Callable[[WebSocketConnection, list[dict[str, dict[str, object]]]], Awaitable[None]]
CONNECTED = '{"id":1,"connect":{"client":"c","ping":25,"pong":true}}\n'


@dataclass
class FakeNode:
    """Plays one session after the other; each gets what its client sent first."""

    sessions: list[Session] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: WebSocketRequest) -> None:
        if not self.sessions:
            await request.reject(503)
            return
        session = self.sessions.pop(0)
        connection = await request.accept()
        try:
            first = [json.loads(line) for line in (await connection.get_message()).splitlines()]
            await session(connection, first)
        except ConnectionClosed:
            pass


@pytest.fixture
async def node(nursery: trio.Nursery) -> AsyncIterator[FakeNode]:
    fake = FakeNode()
    server = await nursery.start(serve_websocket, fake.handle, "127.0.0.1", 0, None)
    fake.url = endpoint(f"http://127.0.0.1:{server.port}")
    with trio.fail_after(PATIENCE_S):
        yield fake
    nursery.cancel_scope.cancel()


def publication(offset: int) -> str:
    return json.dumps({"push": {"channel": "news", "pub": {"data": offset, "offset": offset}}})


def collect(received: list[int], enough: int) -> Callable[[Publication], None]:
    def show(publication: Publication) -> None:
        received.append(publication.offset)
        if len(received) == enough:
            raise Enough

    return show


async def test_it_reconnects_and_recovers(node: FakeNode) -> None:
    """After a lost connection it asks from its last position, and says that nothing was missed."""

    async def first(connection: WebSocketConnection, _: object) -> None:
        await connection.send_message(
            CONNECTED + '{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":0}}\n' + publication(1)
        )
        await connection.aclose(3001, "shutdown")

    async def second(connection: WebSocketConnection, sent: list[dict[str, dict[str, object]]]) -> None:
        assert sent[1]["subscribe"]["offset"] == 1
        assert sent[1]["subscribe"]["recover"] is True
        missed = '"publications":[{"data":2,"offset":2}]'
        await connection.send_message(
            CONNECTED + '{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":1,"recovered":true,'
            f'"was_recovering":true,{missed}}}}}\n' + publication(3)
        )
        await connection.get_message()

    node.sessions = [first, second]
    received: list[int] = []
    told: list[str] = []
    await follow(node.url, Subscription("news"), collect(received, 3), told.append, lambda _low, _high: 0.0)
    assert received == [1, 2, 3]
    assert told[0] == f"subscribed at {node.url}"
    assert told[1] == "shutdown (code 3001); again in 0.0 s"
    assert told[2].endswith("recovered, 1 missed")


async def test_a_loss_is_said(node: FakeNode) -> None:
    """When the node cannot recover, the subscriber says that publications may be missing."""

    async def session(connection: WebSocketConnection, _: object) -> None:
        await connection.send_message(
            '{"id":2,"subscribe":{"recoverable":true,"epoch":"f","offset":5,"was_recovering":true}}\n'
            + publication(6)
        )
        await connection.get_message()

    node.sessions = [session]
    told: list[str] = []
    subscription = Subscription("news", since=StreamPosition(1, "e"))
    await follow(node.url, subscription, collect([], 1), told.append)
    assert "NOT recovered" in told[0]


async def test_pings_are_answered(node: FakeNode) -> None:
    """The node's ping gets a pong, or the node would close the connection."""

    async def session(connection: WebSocketConnection, _: object) -> None:
        await connection.send_message(CONNECTED + "{}")
        assert await connection.get_message() == "{}"
        await connection.send_message(publication(1))
        await connection.get_message()

    node.sessions = [session]
    received: list[int] = []
    await follow(node.url, Subscription("news"), collect(received, 1), lambda _: None)
    assert received == [1]


async def test_reconnect_delays_are_drawn_from_a_growing_interval(node: FakeNode) -> None:
    """Full jitter: each failed attempt doubles the interval, a subscription starts it anew."""

    async def cut(connection: WebSocketConnection, _: object) -> None:
        await connection.aclose(3000, "x")

    async def subscribed(connection: WebSocketConnection, _: object) -> None:
        await connection.send_message('{"id":2,"subscribe":{}}')
        await connection.aclose(3000, "x")

    async def refused(connection: WebSocketConnection, _: object) -> None:
        await connection.aclose(3503, "force disconnect")

    node.sessions = [cut, cut, subscribed, cut, refused]
    intervals: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        intervals.append((low, high))
        return 0.0

    with pytest.raises(UserError, match=r"force disconnect \(code 3503\)"):
        await follow(node.url, Subscription("news"), lambda _: None, lambda _: None, uniform)
    assert intervals == [(0, 0.5), (0, 1.0), (0, 0.5), (0, 1.0)]


async def test_a_first_connection_that_fails_is_an_error(node: FakeNode) -> None:
    """Nobody waits for a cluster that was mistyped or is not up."""
    with pytest.raises(UserError, match=r"answered HTTP \(code 503\)"):
        await follow(node.url, Subscription("news"), lambda _: None, lambda _: None)
    with pytest.raises(UserError, match="is the cluster up"):
        await follow("ws://127.0.0.1:1/x", Subscription("news"), lambda _: None, lambda _: None)


async def test_later_failures_are_tried_again(node: FakeNode) -> None:
    """Once it was subscribed, a node that answers 503 (it drains or starts) is tried until it is back."""

    async def session(connection: WebSocketConnection, _: object) -> None:
        await connection.send_message('{"id":2,"subscribe":{}}\n' + publication(1))
        await connection.aclose(3001, "shutdown")

    node.sessions = [session]
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        if "503" in text:
            node.sessions = [session]

    await follow(node.url, Subscription("news"), collect([], 2), tell, lambda _low, _high: 0.0)
    assert any("code 503" in text for text in told)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:8000", "ws://h:8000/connection/websocket"),
        ("wss://h/", "wss://h/connection/websocket"),
        ("ws://h:1/other", "ws://h:1/other"),
    ],
)
def test_endpoint(url: str, expected: str) -> None:
    """A node's address is enough, in either scheme; a path of one's own is kept."""
    assert endpoint(url) == expected


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", "ws://"])
def test_endpoint_refuses_what_is_none(url: str) -> None:
    """A mistyped address is told from one that does not answer."""
    with pytest.raises(UserError, match="not the address"):
        endpoint(url)


def test_a_publication_is_one_line() -> None:
    """People read offset and data; programs read JSON with all of it."""
    subscription = Subscription("news", since=StreamPosition(1, "e"))
    (published,) = subscription.receive('{"push":{"channel":"news","pub":{"data":{"a":"é"},"offset":2}}}')
    assert isinstance(published, Publication)
    assert subscribe.render(subscription, published, as_json=False) == '2 {"a":"é"}'
    assert json.loads(subscribe.render(subscription, published, as_json=True)) == {
        "channel": "news",
        "offset": 2,
        "epoch": "e",
        "data": {"a": "é"},
        "tags": {},
    }
