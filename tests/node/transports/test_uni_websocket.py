"""WebSocket clients that are only sent pushes, by an independent implementation of the client's side."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
import trio
import trio_websocket

from node.config.options import ClientOptions, Duration
from node.protocol.reasons import SHUTDOWN
from tests.node.transports.served import Served, served
from tests.node.transports.stream_client import Stream

PATH = "/connection/uni_websocket"
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
SUBS = {"subs": {"past:a": {}}}


@asynccontextmanager
async def opened(node: Served, query: str = "") -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Its stream is closed in the end: the library leaves that to nobody when the node has closed first."""
    stream = await node.connect()
    async with trio.open_nursery() as nursery:
        yield await trio_websocket.wrap_client_stream(nursery, stream, "127.0.0.1", PATH + query)
        await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("query", [f"?cf_connect={quote(json.dumps(SUBS))}", ""])
async def test_the_connect_request_comes_with_the_handshake_or_first(query: str) -> None:
    """Either way the first push says what was granted; later messages are not looked at."""
    async with served() as node, opened(node, query) as socket:
        if not query:
            await socket.send_message(json.dumps(SUBS))
        connected = json.loads(await socket.get_message())["connect"]
        assert connected["subs"]["past:a"]["recoverable"] is True
        assert "pong" not in connected
        await socket.send_message("nonsense")
        await socket.send_message(json.dumps(SUBS))
        await node.publish("past:a", b'"x"')
        push = json.loads(await socket.get_message())
        assert (push["channel"], push["pub"]["data"]) == ("past:a", "x")


async def test_a_goodbye_is_a_push_and_a_close_frame() -> None:
    """Programs that only read messages hear it too."""
    async with served() as node, opened(node, f"?cf_connect={quote('{}')}") as socket:
        await socket.get_message()
        node.close_all(SHUTDOWN)
        assert json.loads(await socket.get_message()) == {"disconnect": {"code": 3001, "reason": "shutdown"}}
        with pytest.raises(trio_websocket.ConnectionClosed):
            await socket.get_message()
        assert (socket.closed.code, socket.closed.reason) == (3001, "shutdown")
        await node.empty()


@pytest.mark.parametrize(("message", "code"), [("{", 3501), ("[]", 3501), ('{"token":"x"}', 3500)])
async def test_what_is_no_connect_request_ends_the_session(message: str, code: int) -> None:
    """And so does one that is not accepted."""
    async with served(ClientOptions()) as node, opened(node) as socket:
        await socket.send_message(message)
        assert json.loads(await socket.get_message())["disconnect"]["code"] == code
        with pytest.raises(trio_websocket.ConnectionClosed):
            await socket.get_message()
        assert socket.closed.code == code


@pytest.mark.parametrize(("query", "status"), [("?cf_connect=%7B", 400), ("?cf_connect=%7B%7D", 503)])
async def test_a_handshake_may_be_refused(query: str, status: int) -> None:
    """For a connect request that cannot be read, and by a node that leaves."""
    async with served() as node:
        node.open = status != 503
        stream = await Stream.open(node, PATH + query, *HANDSHAKE, method="GET")
        assert stream.status == status
        assert len(node.parts.sessions) == 0


async def test_pings_are_messages_and_frames_that_nobody_has_to_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Programs see that the node lives, and what is between sees traffic in both directions."""
    client = ClientOptions(insecure=True, ping_interval=Duration(0.1), pong_timeout=Duration(0.05))
    async with served(client) as node, opened(node, f"?cf_connect={quote('{}')}") as socket:
        await socket.get_message()
        for _ in range(3):
            assert await socket.get_message() == "{}"


async def test_a_client_that_says_goodbye_is_answered_with_its_code() -> None:
    """No push comes between its close frame and the answer."""
    async with served() as node:
        async with opened(node, f"?cf_connect={quote('{}')}") as socket:
            await socket.get_message()
            await socket.aclose(4321)
            assert socket.closed.code == 4321
        await node.empty()


async def test_a_long_message_is_refused() -> None:
    """The path has a limit of its own."""
    async with served() as node, opened(node) as socket:
        await socket.send_message("x" * 1_001)
        assert json.loads(await socket.get_message())["disconnect"]["code"] == 1009
        with pytest.raises(trio_websocket.ConnectionClosed):
            await socket.get_message()
        assert socket.closed.code == 1009


async def test_protobuf_is_not_agreed_to() -> None:
    """A subprotocol that would not be spoken is not chosen."""
    async with served() as node:
        offer = "Sec-WebSocket-Protocol: centrifuge-protobuf, centrifuge-json"
        stream = await Stream.open(node, PATH, *HANDSHAKE, offer, method="GET")
        assert (stream.status, stream.fields["sec-websocket-protocol"]) == (101, "centrifuge-json")
