"""POSTs that speak for nobody, or for somebody else, and streams that are used as they should not be."""

import json
import secrets
from typing import Any

import pytest
import trio

from protos import client_pb2
from tests.integration.cluster import NodeProcess
from tests.integration.raw import CONNECT, Raw

JSON, PROTOBUF = "application/json", "application/octet-stream"
UNKNOWN_NODE = "00000000-0000-0000-0000-000000000000"


async def listen(raw: Raw) -> dict[str, Any]:
    """Open a stream; returns the connect result."""
    head = f"POST /connection/http_stream HTTP/1.1\nHost: test\nContent-Length: {len(CONNECT)}"
    await raw.request(head, CONNECT.encode())
    assert (await raw.answer()).status == 200
    return dict(json.loads(await raw.line())["connect"])


async def post(raw: Raw, body: bytes, content_type: str = JSON) -> int:
    """POST commands; returns the status."""
    await raw.request(
        f"POST /emulation HTTP/1.1\nHost: test\nContent-Type: {content_type}\nContent-Length: {len(body)}",
        body,
    )
    answer = await raw.answer()
    if answer.status != 204:
        await raw.body(answer)
    return answer.status


def request(connected: dict[str, Any], data: str, **changes: str) -> bytes:
    """What a client would POST."""
    fields = {"session": connected["session"], "node": connected["node"], "data": data, **changes}
    return json.dumps(fields).encode()


async def test_forged_ids_find_nobody(node: NodeProcess) -> None:
    """However many are tried, in whatever shape: 404 each, and the session they are not is not touched."""
    subscribe = '{"id":2,"subscribe":{"channel":"news"}}'
    async with await Raw.open(node.http) as stream, await Raw.open(node.http) as posting:
        connected = await listen(stream)
        session = connected["session"]
        for number in range(200):
            assert await post(posting, request(connected, subscribe, session=secrets.token_hex(16))) == 404
            near = f"{int(session, 16) ^ 1 << number % 128:032x}"
            assert await post(posting, request(connected, subscribe, session=near)) == 404
        for shape in ("", "0", session * 2, session.upper() + "x", "\u0000" * 32, "é" * 32, "*"):
            assert await post(posting, request(connected, subscribe, session=shape)) == 404
        for name in ("", UNKNOWN_NODE, "*", ">", "info", f"{connected['node']}.", " " * 36, "x" * 30_000):
            assert await post(posting, request(connected, subscribe, node=name)) == 404
        assert await post(posting, request(connected, '{"id":3,"history":{"channel":"news"}}')) == 204
        assert json.loads(await stream.line())["id"] == 3


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (JSON, b"", 400),
        (JSON, b"{", 400),
        (JSON, b"\xff", 400),
        (JSON, b"[" * 60_000, 400),
        (JSON, b'{"session":[]}', 400),
        (JSON, b"{}", 404),
        (JSON, b" " * 65_537, 413),
        (PROTOBUF, b"\xff" * 20, 400),
        (PROTOBUF, b"\x0a\x7f", 400),
        (PROTOBUF, b"\x0a\x01\xff", 400),
        (PROTOBUF, b"", 404),
        (PROTOBUF, b"\x00" * 65_537, 413),
    ],
)
async def test_bodies_that_are_no_requests(
    node: NodeProcess, content_type: str, body: bytes, status: int
) -> None:
    """Each has its status."""
    async with await Raw.open(node.http) as raw:
        assert await post(raw, body, content_type) == status


@pytest.mark.parametrize("path", ["/emulation", "/connection/http_stream", "/connection/uni_http_stream"])
async def test_half_a_body_is_not_waited_for_long(impatient: NodeProcess, path: str) -> None:
    """408 after the time for a body; a client that goes away in the middle leaves nothing."""
    head = f"POST {path} HTTP/1.1\nHost: test\nContent-Length: 100"
    async with await Raw.open(impatient.http) as raw:
        await raw.request(head, b"{")
        assert (await raw.answer()).status == 408
    async with await Raw.open(impatient.http) as raw:
        await raw.request(head, b"{")


@pytest.mark.parametrize("data", ["", "{", "[]", "\n\n", "x" * 60_000, '{"id":1,"connect":{}}', "{}"])
async def test_frames_that_are_no_commands_end_the_session(node: NodeProcess, data: str) -> None:
    """The POST was delivered; the stream says what was wrong with it."""
    async with await Raw.open(node.http) as stream, await Raw.open(node.http) as posting:
        connected = await listen(stream)
        assert await post(posting, request(connected, data)) == 204
        assert json.loads(await stream.line())["push"]["disconnect"]["code"] == 3501
        assert await stream.rest() == b""


async def test_json_for_a_protobuf_session_ends_it(node: NodeProcess) -> None:
    """A frame is in its session's encoding, whatever its POST is in."""
    connect = client_pb2.Command(id=1, connect=client_pb2.ConnectRequest()).SerializeToString()
    body = bytes([len(connect)]) + connect
    head = f"POST /connection/http_stream HTTP/1.1\nHost: test\nContent-Type: {PROTOBUF}\nContent-Length: "
    async with await Raw.open(node.http) as stream, await Raw.open(node.http) as posting:
        await stream.request(f"{head}{len(body)}", body)
        assert (await stream.answer()).status == 200
        (size,) = await stream._exactly(1)
        connected = client_pb2.Reply.FromString(await stream._exactly(size)).connect
        ids = {"session": connected.session, "node": connected.node}
        assert await post(posting, request(ids, '{"id":2,"history":{"channel":"news"}}')) == 204
        assert b"bad request" in await stream.rest()


async def test_more_commands_than_may_wait_are_refused(node: NodeProcess) -> None:
    """Crowds of POSTs at once: each is served or told that it is not, and the node serves the others."""
    statuses: list[int] = []
    frame = "\n".join(
        f'{{"id":{number},"history":{{"channel":"news","limit":0}}}}' for number in range(2, 900)
    )

    async def flood(connected: dict[str, Any]) -> None:
        async with await Raw.open(node.http) as posting:
            statuses.extend([await post(posting, request(connected, frame)) for _ in range(5)])

    async with await Raw.open(node.http) as stream, trio.open_nursery() as nursery:
        connected = await listen(stream)
        nursery.start_soon(stream.rest)
        async with trio.open_nursery() as flooding:
            for _ in range(20):
                flooding.start_soon(flood, connected)
        nursery.cancel_scope.cancel()
    assert len(statuses) == 100
    assert set(statuses) <= {204, 429, 404}
    assert 204 in statuses
