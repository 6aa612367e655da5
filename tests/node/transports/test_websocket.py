"""WebSocket clients of another make, and hostile ones, against a whole node over loopback."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
import trio_websocket
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from node.config.options import ClientOptions, Duration
from node.protocol.reasons import SHUTDOWN
from tests.node.transports.served import Served, served

_PATH = "/connection/websocket"


class Client:
    """The `websockets` package's protocol on a plain stream: it may be told to break every rule."""

    def __init__(self, stream: trio.SocketStream, path: str, **options: Any) -> None:
        self.stream = stream
        self.protocol = ClientProtocol(parse_uri(f"ws://localhost{path}"), max_size=None, **options)
        self.frames: list[Frame] = []

    async def open(self) -> "Client":
        """Shake hands."""
        self.protocol.send_request(self.protocol.connect())
        await self.flush()
        while self.protocol.state is State.CONNECTING:
            await self.receive()
        return self

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            await (self.stream.send_all(data) if data else self.stream.send_eof())

    async def receive(self) -> None:
        data = await self.stream.receive_some()
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        self.frames += [event for event in self.protocol.events_received() if isinstance(event, Frame)]

    async def send(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> None:
        await self.stream.send_all(Frame(opcode, payload, fin).serialize(mask=True))

    async def frame(self) -> Frame:
        """The next frame."""
        while not self.frames:
            await self.receive()
        return self.frames.pop(0)

    async def replies(self) -> list[Any]:
        """The next frame's JSON messages."""
        frame = await self.frame()
        return [json.loads(line) for line in bytes(frame.data).split(b"\n")]

    async def closed_with(self) -> tuple[int, str]:
        """Read to the end; the close frame that came."""
        await self.flush()
        while self.protocol.state is not State.CLOSED:
            await self.receive()
            await self.flush()
        assert self.protocol.close_rcvd is not None
        return self.protocol.close_rcvd.code, self.protocol.close_rcvd.reason


async def dial(node: Served, path: str = _PATH, **options: Any) -> Client:
    """A client with an open WebSocket."""
    return await Client(await node.connect(), path, **options).open()


@asynccontextmanager
async def dialled(
    path: str = _PATH, client: ClientOptions | None = None
) -> AsyncIterator[tuple[Served, Client]]:
    """A node and one client."""
    async with served(client) as node:
        yield node, await dial(node, path)


async def status_of(node: Served, request: str) -> tuple[int, str]:
    """What a request is answered with: status and whole head."""
    stream = await node.connect()
    await stream.send_all(request.encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some()
    return int(data.split(b" ")[1]), data.decode()


def upgrade(*fields: str) -> str:
    """A handshake request with further header lines."""
    lines = (
        f"GET {_PATH} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", *fields, "", "",
    )  # fmt: skip
    return "\r\n".join(lines)


async def test_commands_sent_in_one_frame_are_answered_in_order_and_publications_follow() -> None:
    """What SDKs do: connect and subscribe in one frame, then live publications as text frames."""
    async with (
        served() as node,
        trio_websocket.open_websocket_url(f"ws://127.0.0.1:{node.port}{_PATH}") as ws,
    ):
        await ws.send_message('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"news"}}')
        assert json.loads(await ws.get_message())["connect"]["ping"] == 25
        assert json.loads(await ws.get_message()) == {"id": 2, "subscribe": {}}
        await node.publish("news", b'{"hello":1}')
        push = json.loads(await ws.get_message())
        assert push == {"push": {"channel": "news", "pub": {"data": {"hello": 1}}}}


@pytest.mark.parametrize(
    ("path", "offer"),
    [
        (_PATH, ["centrifuge-protobuf"]),
        (f"{_PATH}?cf_protocol=protobuf", None),
        (f"{_PATH}?format=protobuf", None),
    ],
)
async def test_protobuf_is_chosen_in_three_ways(path: str, offer: list[str] | None) -> None:
    """By subprotocol, which is echoed, or by query; a text frame is then decoded as Protobuf too."""
    async with served() as node:
        client = await dial(node, path, subprotocols=offer)
        assert client.protocol.subprotocol == (offer[0] if offer else None)
        await client.send(Opcode.TEXT, b"\x04\x08\x01\x22\x00")
        frame = await client.frame()
        assert frame.opcode is Opcode.BINARY
        assert frame.data[1:3] == b"\x08\x01"


async def test_a_fragmented_message_with_a_ping_inside_is_one_command() -> None:
    """Fragmentation does not show; the ping is answered with its own payload."""
    async with dialled() as (_, client):
        await client.send(Opcode.TEXT, b'{"id":1,', fin=False)
        await client.send(Opcode.PING, b"there?")
        await client.send(Opcode.CONT, b'"connect":{}}')
        assert await client.frame() == Frame(Opcode.PONG, b"there?")
        assert (await client.replies())[0]["id"] == 1


async def test_a_client_that_closes_gets_its_code_back_and_the_end_of_the_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The closing handshake as the client's doing; the session is gone afterwards."""
    async with dialled() as (node, client):
        client.protocol.send_close(4321, "done")
        await client.flush()
        with trio.fail_after(1):
            # The server ends the connection first, and does not wait for its deadline.
            assert await client.closed_with() == (4321, "")
        await node.empty()
        assert node.parts.metrics.connected["websocket"] == 0


async def test_closing_from_here_waits_for_the_answer_and_serves_nothing_more() -> None:
    """The closing handshake as ours: code and reason arrive, later commands do not count."""
    async with dialled() as (node, client):
        node.close_all(SHUTDOWN)
        close = await client.frame()
        assert Close.parse(close.data) == Close(3001, "shutdown")
        await client.send(Opcode.TEXT, b'{"id":1,"connect":{}}')
        assert len(node.parts.sessions) == 1
        await client.flush()
        assert await client.closed_with() == (3001, "shutdown")
        assert client.frames == []
        await node.empty()


async def test_a_client_that_never_answers_a_close_is_ended_by_the_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A session ends `close_deadline_s` after it was closed, whatever the client does."""
    options = ClientOptions(insecure=True, close_deadline_s=Duration(0.1))
    async with dialled(client=options) as (node, client):
        node.close_all(SHUTDOWN)
        await node.empty()
        assert (await client.frame()).opcode is Opcode.CLOSE


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        pytest.param(Frame(Opcode.TEXT, b"{}").serialize(mask=False), 1002, id="unmasked"),
        pytest.param(Frame(Opcode.TEXT, b"\xff").serialize(mask=True), 1007, id="not UTF-8"),
        pytest.param(b"\x81\xff\x00\x00\x00\x00\x00\x98\x96\x80", 1009, id="ten megabytes announced"),
        pytest.param(Frame(Opcode.CLOSE, b"\x03\xee").serialize(mask=True), 1002, id="reserved close code"),
        pytest.param(Frame(Opcode.TEXT, b"").serialize(mask=True), 3501, id="empty frame"),
        pytest.param(Frame(Opcode.TEXT, b"no JSON").serialize(mask=True), 3501, id="no JSON"),
        pytest.param(
            Frame(Opcode.TEXT, b'{"id":1,"history":{}}').serialize(mask=True), 3501, id="no connect"
        ),
    ],
)
async def test_a_client_that_breaks_the_rules_is_told_the_code(stream: bytes, code: int) -> None:
    """The close frame arrives although the client sent more than was read; it is counted."""
    async with dialled() as (node, client):
        await client.stream.send_all(stream)
        with trio.move_on_after(0.2):
            await client.stream.send_all(bytes(2_000_000))
        assert (await client.closed_with())[0] == code
        assert node.parts.metrics.protocol_errors == 1
        await client.stream.aclose()
        await node.empty()


async def test_native_pings_replace_those_of_the_protocol(autojump_clock: trio.testing.MockClock) -> None:
    """With `cf_ws_frame_ping_pong` the connect result announces none, and a pong frame answers."""
    options = ClientOptions(insecure=True, ping_interval=Duration(20), pong_timeout=Duration(15))
    async with dialled(f"{_PATH}?cf_ws_frame_ping_pong=true", options) as (_, client):
        await client.send(Opcode.TEXT, b'{"id":1,"connect":{}}')
        assert "ping" not in (await client.replies())[0]["connect"]
        assert (await client.frame()) == Frame(Opcode.PING, b"")
        await client.send(Opcode.PONG, b"")
        assert (await client.frame()).opcode is Opcode.PING
        # This one is not answered.
        assert Close.parse((await client.frame()).data).code == 3012


async def test_pings_of_the_protocol_are_empty_replies(autojump_clock: trio.testing.MockClock) -> None:
    """Without the wish for native pings a ping is `{}` and so is its pong."""
    options = ClientOptions(insecure=True, ping_interval=Duration(20), pong_timeout=Duration(15))
    async with dialled(client=options) as (_, client):
        await client.send(Opcode.TEXT, b'{"id":1,"connect":{}}')
        await client.replies()
        assert await client.replies() == [{}]
        await client.send(Opcode.TEXT, b"{}")
        assert await client.replies() == [{}]


async def test_a_client_that_does_not_read_is_told_so_when_it_does() -> None:
    """Promise 3: its queue is dropped, and behind the last whole frame it finds 3008."""
    options = ClientOptions(insecure=True, queue_max_size=50_000)
    async with dialled(client=options) as (node, client):
        await client.send(Opcode.TEXT, b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"news"}}')
        await client.replies()
        await client.replies()
        while not node.parts.metrics.closes:
            await node.publish("news", b'"' + b"x" * 40_000 + b'"')
            await trio.testing.wait_all_tasks_blocked()
        assert node.parts.hub.channels == 0
        assert await client.closed_with() == (3008, "slow")
        assert all(
            len(json.loads(frame.data)["push"]["pub"]["data"]) == 40_000 for frame in client.frames[:-1]
        )


async def test_a_client_that_never_reads_is_ended_by_the_deadline() -> None:
    """Promise 3: what is left of its queue does not outlive `close_deadline_s`."""
    options = ClientOptions(insecure=True, queue_max_size=50_000, close_deadline_s=Duration(0.1))
    async with dialled(client=options) as (node, client):
        await client.send(Opcode.TEXT, b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"news"}}')
        await client.replies()
        await client.replies()
        while len(node.parts.sessions):
            await node.publish("news", b'"' + b"x" * 40_000 + b'"')
            await trio.testing.wait_all_tasks_blocked()
        assert node.parts.metrics.closes[3008, "slow"] == 1


async def test_a_payload_that_is_not_json_closes_a_json_client() -> None:
    """3506: the client would never see what this channel carries."""
    async with dialled() as (node, client):
        await client.send(Opcode.TEXT, b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"news"}}')
        await client.replies()
        await client.replies()
        await node.publish("news", b"\x00\x01")
        assert (await client.closed_with())[0] == 3506


async def test_pages_of_other_origins_are_refused_and_programs_are_not() -> None:
    """403 by `allowed_origins`; a request without Origin is no browser's."""
    async with served() as node:
        assert (await status_of(node, upgrade("Origin: https://evil.example")))[0] == 403
        assert (await status_of(node, upgrade("Origin: https://good.example")))[0] == 101
        assert (await status_of(node, upgrade()))[0] == 101
        assert node.parts.metrics.refused["origin"] == 1


async def test_a_node_that_stops_sends_clients_elsewhere() -> None:
    """503 with Retry-After before any session exists."""
    async with served() as node:
        node.open = False
        status, head = await status_of(node, upgrade())
        assert status == 503
        assert 1 <= int(head.partition("Retry-After: ")[2].partition("\r\n")[0]) <= 5
        assert len(node.parts.sessions) == 0


async def test_commands_behind_the_handshake_in_one_segment_are_served() -> None:
    """Nothing that came with the request's bytes is lost."""
    async with served() as node:
        stream = await node.connect()
        command = Frame(Opcode.TEXT, b'{"id":1,"connect":{}}').serialize(mask=True)
        await stream.send_all(upgrade().encode() + command)
        data = b""
        while b'"version"' not in data:
            data += await stream.receive_some()
        assert data.startswith(b"HTTP/1.1 101 ")
