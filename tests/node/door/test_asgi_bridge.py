"""Streams over hypercorn: the door's own handlers behind a socket pair."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events
import pytest
import trio
import trio_websocket
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from node.config.options import Duration
from node.door.asgi_bridge import Bridge, masked, take_frame
from node.door.connection import Connection
from node.door.head import Head
from node.protocol.reasons import SHUTDOWN
from node.timers import Timers
from node.transports.websocket_frames import BINARY, CLOSE, PING, PONG, TEXT, FrameReader, frame
from tests.node.door.clients import Client
from tests.node.door.nodes import Node, running
from tests.node.transports.served import CONFIG
from tests.patience import PATIENCE_S

PAGE = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"
CONNECT = '{"id":1,"connect":{}}'
SUBSCRIBE = '{"id":2,"subscribe":{"channel":"past:a"}}'
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
WS_KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


async def handed_over(node: Node) -> Client:
    client = await node.connect()
    assert (await client.ask(PAGE)).status == 200
    return client


@asynccontextmanager
async def websocket(
    node: Node, path: str, *subprotocols: str
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """A WebSocket on a connection that hypercorn has."""
    client = await handed_over(node)
    async with trio.open_nursery() as nursery:
        yield await trio_websocket.wrap_client_stream(
            nursery, client.stream, "test", path, subprotocols=list(subprotocols)
        )
        nursery.cancel_scope.cancel()


async def test_a_stream_ends_with_its_client() -> None:
    """An EventSource that goes away leaves no session behind."""
    async with running() as node:
        client = await handed_over(node)
        await client.send(b"GET /sse?channel=past:a HTTP/1.1\r\nHost: test\r\n\r\n")
        await client.receive_until(b"event: subscribed")
        assert len(node.served.parts.sessions) == 1
        await client.aclose()
        with trio.fail_after(PATIENCE_S):
            while len(node.served.parts.sessions):
                await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_stream_ends_with_its_session() -> None:
    """A goodbye arrives, then the end of the body, and the connection may carry another request."""
    async with running() as node:
        client = await handed_over(node)
        await client.send(b"GET /sse?channel=past:a HTTP/1.1\r\nHost: test\r\n\r\n")
        await client.receive_until(b"event: subscribed")
        node.served.close_all(SHUTDOWN)
        await client.receive_until(b"3001")
        await client.receive_until(b"0\r\n\r\n")
        assert (await client.ask(PAGE)).status == 200


async def test_refusals_are_passed_on() -> None:
    """A status and its headers are the handler's."""
    async with running() as node:
        client = await handed_over(node)
        response = await client.ask(b"GET /sse HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (response.status, b"channel" in response.body) == (400, True)
        origin = b"GET /sse?channel=past:a HTTP/1.1\r\nHost: test\r\nOrigin: https://bad.example\r\n\r\n"
        assert (await client.ask(origin)).status == 403


async def test_a_posted_connect_request_is_read() -> None:
    """`/connection/uni_sse` with a body, in chunks as well."""
    async with running() as node:
        for framing, body in (
            (b"Content-Length: 2\r\n", b"{}"),
            (b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
            (b"Expect: 100-continue\r\nContent-Length: 2\r\n", b"{}"),
        ):
            client = await handed_over(node)
            head = b"POST /connection/uni_sse HTTP/1.1\r\nHost: test\r\n" + framing + b"\r\n"
            await client.send(head + body)
            await client.receive_until(b'"connect":')


async def test_a_stream_and_its_posts_may_both_be_hypercorns() -> None:
    """Bidirectional emulation works there as on the door, in whatever form its requests come."""
    async with running() as node:
        listening, posting = await handed_over(node), await handed_over(node)
        connect = b'{"id":1,"connect":{}}'
        path = b"POST /connection/http_stream HTTP/1.1\r\nHost: test\r\n"
        await listening.send(path + b"Content-Length: %d\r\n\r\n" % len(connect) + connect)
        await listening.receive_until(b'"connect":')
        connected = json.loads(b'{"connect":' + (await listening.receive_until(b"\n"))[:-1])["connect"]
        for number in (2, 3):
            data = json.dumps({"id": number, "history": {"channel": "past:a"}})
            body = json.dumps({"session": connected["session"], "node": connected["node"], "data": data})
            head = "POST /emulation HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
            chunks = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
            answer = await posting.ask((head + chunks).encode())
            assert (answer.status, answer.body) == (204, b"")
            await listening.receive_until(b'{"id":%d,"history":' % number)


async def test_streams_over_http2() -> None:
    """An EventSource over HTTP/2 gets what is published; a reset ends its session and not the others."""
    async with running() as node:
        client = await node.connect()
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        for stream_id in (1, 3):
            path = f"/sse?channel=past:{stream_id}"
            fields = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "test")]
            connection.send_headers(stream_id, fields, end_stream=True)
        await client.send(connection.data_to_send())
        seen = {1: b"", 3: b""}

        async def read_until(stream_id: int, text: bytes) -> None:
            while text not in seen[stream_id]:
                for event in connection.receive_data(await client.receive()):
                    if isinstance(event, h2.events.DataReceived):
                        seen[event.stream_id] += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await client.send(connection.data_to_send())

        with trio.fail_after(PATIENCE_S):
            await read_until(1, b"event: subscribed")
            await read_until(3, b"event: subscribed")
            connection.reset_stream(1)
            await client.send(connection.data_to_send())
            while len(node.served.parts.sessions) > 1:
                await trio.testing.wait_all_tasks_blocked(0.01)
            await node.served.publish("past:3", b'{"n":3}')
            await read_until(3, b'{"n":3}')


async def test_a_client_that_does_not_read_is_ended(autojump_clock: trio.testing.MockClock) -> None:
    """Slow over hypercorn is slow as anywhere: closed by the outbox's limit, and its connection cut."""
    options = replace(CONFIG.client, close_deadline_s=Duration(0.5))
    async with running(client=options) as node:
        client = await handed_over(node)
        await client.send(b"GET /sse?channel=past:a HTTP/1.1\r\nHost: test\r\n\r\n")
        await client.receive_until(b"event: subscribed")
        payload = b'"%s"' % (b"x" * 100_000)
        while not node.metrics.closes:
            await node.served.publish("past:a", payload)
            # So that everything on the way is full, the kernel's buffers too; by the clock, since a channel
            # rests after a walk that took long, as on a busy machine.
            await trio.sleep(0.01)
        assert node.metrics.closes == {(3008, "slow"): 1}
        # The session's deadline, then the bridge's: only the connection's end stops hypercorn's sending.
        await trio.sleep(6)
        assert len(node.served.parts.sessions) == 0
        assert b"broadcast_door_connections 0.0" in node.door_metrics.render()


@pytest.mark.parametrize("subprotocol", ["", "centrifuge-protobuf"])
async def test_a_websocket_speaks_the_client_protocol(subprotocol: str) -> None:
    """Commands in, replies and publications out, as text or as binary, with the subprotocol agreed."""
    async with running() as node:
        protocols = [subprotocol] if subprotocol else []
        async with websocket(node, "/connection/websocket", *protocols) as ws:
            assert (ws.subprotocol or "") == subprotocol
            if subprotocol:
                await ws.send_message(b"\x04\x08\x01\x22\x00")
                assert isinstance(await ws.get_message(), bytes)
            else:
                await ws.send_message(CONNECT + "\n" + SUBSCRIBE)
                assert '"connect"' in await ws.get_message()
                assert '"subscribe"' in await ws.get_message()
                await node.served.publish("past:a", b'{"n":1}')
                assert '{"n":1}' in await ws.get_message()


async def test_the_plain_websocket_is_served() -> None:
    """`/ws`, whose pings are WebSocket's own, says hello and subscribes."""
    async with running() as node, websocket(node, "/ws") as ws:
        assert '"connected"' in await ws.get_message()
        await ws.send_message('{"type":"subscribe","channel":"past:a"}')
        assert '"subscribed"' in await ws.get_message()


async def test_pings_of_the_plain_websocket_are_the_servers(autojump_clock: trio.testing.MockClock) -> None:
    """ASGI carries no pings: hypercorn pings the client, and the session's own are answered for it."""
    options = replace(CONFIG.client, ping_interval=Duration(0.5), pong_timeout=Duration(0.2))
    async with running(client=options) as node, websocket(node, "/ws") as ws:
        await ws.get_message()
        await trio.sleep(5)
        assert len(node.served.parts.sessions) == 1
        await ws.send_message('{"type":"subscribe","channel":"past:a"}')
        assert '"subscribed"' in await ws.get_message()


async def test_a_websockets_close_carries_the_reason() -> None:
    """The code and text of the table arrive; the client's goodbye ends the connection."""
    async with running() as node, websocket(node, "/connection/websocket") as ws:
        await ws.send_message(CONNECT)
        await ws.get_message()
        node.served.close_all(SHUTDOWN)
        with pytest.raises(trio_websocket.ConnectionClosed) as caught:
            await ws.get_message()
        assert caught.value.reason is not None
        assert (caught.value.reason.code, caught.value.reason.reason) == (3001, "shutdown")


async def test_a_websocket_ends_with_its_client() -> None:
    """A client's close is answered, and its session is gone."""
    async with running() as node, websocket(node, "/connection/websocket") as ws:
        await ws.send_message(CONNECT)
        await ws.get_message()
        await ws.aclose(1000, "bye")
        with trio.fail_after(PATIENCE_S):
            while len(node.served.parts.sessions):
                await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_handshake_that_is_refused_has_its_status() -> None:
    """A wrong Origin is a 403 with its reason, no WebSocket."""
    async with running() as node:
        client = await handed_over(node)
        head = b"GET /connection/websocket HTTP/1.1\r\nHost: test\r\nOrigin: https://bad.example\r\n"
        assert (await client.ask(head + UPGRADE + WS_KEY + b"\r\n")).status == 403


async def test_compression_is_never_agreed() -> None:
    """Hypercorn would accept permessage-deflate with 288 kB per connection; nobody is offered it."""
    async with running() as node:
        client = await handed_over(node)
        offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        head = b"GET /connection/websocket HTTP/1.1\r\nHost: test\r\n" + UPGRADE + WS_KEY + offer + b"\r\n"
        await client.send(head)
        response = await client.receive_until(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in response.lower()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        # Hypercorn cuts these off without the goodbye that the door's own WebSocket gives them.
        (b"\x81\x02hi", 0),
        (b"\xc1\x82\x00\x00\x00\x00hi", 0),
        (b"\x81\x82\x00\x00\x00\x00\xff\xff", 0),
        (masked(TEXT, b"x" * 20_000), 1009),
        (masked(TEXT, b"not json"), 3501),
    ],
)
async def test_broken_frames_close_the_websocket(sent: bytes, code: int) -> None:
    """Unmasked frames, reserved bits, bad UTF-8, long messages and bad commands end it, and its session."""
    async with running() as node:
        client = await handed_over(node)
        await client.send(
            b"GET /connection/websocket HTTP/1.1\r\nHost: test\r\n" + UPGRADE + WS_KEY + b"\r\n"
        )
        await client.receive_until(b"\r\n\r\n")
        await client.send(sent)
        with trio.fail_after(PATIENCE_S):
            received = bytearray()
            closes = []
            while not closes and (data := await client.receive()):
                received += data
                while (message := take_frame(received)) is not None:
                    closes += [int.from_bytes(message[1][:2], "big")] if message[0] == CLOSE else []
        assert closes == ([code] if code else [])


@pytest.mark.parametrize("goodbye", [False, True])
async def test_a_client_that_sends_faster_than_it_is_read_stays(goodbye: bool) -> None:
    """While the handler has more to read than it takes, its pings are answered and its goodbye gets out."""
    pongs, told = 0, []
    sent = iter([{"type": "websocket.connect"}, *[{"type": "websocket.receive", "text": "x" * 60_000}] * 40])

    async def handler(connection: Connection, _: Head) -> bool:
        nonlocal pongs
        await connection.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        # As one whose command waits for the broker: what the client sends fills the way to it.
        await trio.testing.wait_all_tasks_blocked()
        await connection.send(frame(CLOSE, b"\x0b\xb9shutdown") if goodbye else frame(PING, b""))
        reader = FrameReader(size_max=100_000)
        while (goodbye or not pongs) and (data := await connection.receive()):
            reader.feed(data)
            while (message := reader.next()) is not None:
                pongs += message[0] == PONG
        return False

    async def receive() -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        message = next(sent, None)
        if message is None and not goodbye:
            await trio.sleep_forever()
        return message or {"type": "websocket.disconnect"}

    async def send(message: dict[str, object]) -> None:
        told.append((message["type"], message.get("code")))

    headers = [(b"host", b"test"), (b"sec-websocket-version", b"13")]
    scope = {"type": "websocket", "raw_path": b"/ws", "query_string": b"", "headers": headers}
    scope |= {"http_version": "2", "client": ("127.0.0.1", 1)}
    with trio.fail_after(PATIENCE_S):
        await Bridge(handler, Timers(), lambda: None).websocket(scope, receive, send)
    assert pongs == (0 if goodbye else 1)
    assert told == [("websocket.accept", None), *[("websocket.close", 3001)] * goodbye]


@given(st.sampled_from((TEXT, BINARY)), st.sampled_from((0, 1, 125, 126, 65_535, 65_536)))
def test_frames_pass_the_bridge_unchanged(opcode: int, size: int) -> None:
    """What is masked here the server's reader understands; what the server makes is taken apart here."""
    payload = b"x" * size
    reader = FrameReader(size_max=100_000)
    reader.feed(masked(opcode, payload))
    assert reader.next() == (opcode, payload)
    buffer = bytearray(frame(opcode, payload))
    for cut in (1, 3, len(buffer) - 1):
        if cut < len(buffer):
            assert take_frame(buffer[:cut]) is None
    buffer += b"rest"
    assert take_frame(buffer) == (opcode, payload)
    assert buffer == b"rest"
