"""gRPC-Web against a whole node over loopback: both forms, calls and streams, statuses, other origins."""

from base64 import b64decode, b64encode
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from node.config.options import ClientOptions, TokenOptions
from node.protocol.reasons import INSUFFICIENT_STATE, SHUTDOWN
from protos import edge_pb2
from tests.node.transports.served import served
from tests.node.transports.stream_client import Stream

EDGE = "/broadcast.edge.v1.Edge/"
BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"
ORIGIN = "Origin: https://good.example"


class Part(NamedTuple):
    """A message, or the trailers of a call."""

    message: bytes = b""
    trailers: dict[str, str] | None = None


def request(message: Any, content_type: str, flags: int = 0) -> bytes:
    content = message if isinstance(message, bytes) else message.SerializeToString()
    body = bytes([flags]) + len(content).to_bytes(4, "big") + content
    return b64encode(body) if content_type.endswith("text") else body


async def read(stream: Stream, size: int) -> bytes:
    """So many bytes of the body; in text a piece of it is the base64 of one part."""
    if "text" not in stream.fields["content-type"]:
        return await stream._exactly(size)
    decoded: bytes = getattr(stream, "decoded", b"")
    while len(decoded) < size:
        decoded += b64decode(await stream._exactly(4))
    stream.decoded = decoded[size:]  # type: ignore[attr-defined]
    return decoded[:size]


async def part(stream: Stream) -> Part:
    """The next part of the body."""
    head = await read(stream, 5)
    content = await read(stream, int.from_bytes(head[1:], "big"))
    if head[0] == 0:
        return Part(content)
    assert head[0] == 0x80
    lines = [line.partition(": ") for line in content.decode().split("\r\n") if line]
    return Part(trailers={name: unquote(value) for name, _, value in lines})


async def status(stream: Stream) -> tuple[int, str]:
    """How the call ended, which must be next."""
    trailers = (await part(stream)).trailers
    assert trailers is not None
    return int(trailers["grpc-status"]), trailers.get("grpc-message", "")


async def ask(node: Any, method: str, message: Any, *fields: str, content_type: str = BINARY) -> Stream:
    body = request(message, content_type)
    stream = await Stream.open(node, EDGE + method, f"Content-Type: {content_type}", *fields, body=body)
    assert stream.status == 200
    assert stream.fields["content-type"].startswith(content_type)
    return stream


def subscribe(*channels: str) -> edge_pb2.SubscribeRequest:
    return edge_pb2.SubscribeRequest(
        channels=[edge_pb2.ChannelRequest(channel=channel) for channel in channels]
    )


async def event(stream: Stream) -> Any:
    """The only event of the next message."""
    (one,) = edge_pb2.SubscribeResponse.FromString((await part(stream)).message).events
    return one


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
async def test_calls_are_answered_with_a_message_and_trailers(content_type: str) -> None:
    """One connection carries several; what was published is read."""
    async with served() as node:
        for number in range(2):
            publish = edge_pb2.PublishRequest(channel="past:a", data=b"%d" % number)
            stream = await ask(node, "Publish", publish, content_type=content_type)
            assert await part(stream) == Part(b"")
            assert await status(stream) == (0, "")
        history = request(edge_pb2.HistoryRequest(channel="past:a", limit=-1), content_type)
        await stream.ask(EDGE + "History", f"Content-Type: {content_type}", body=history)
        page = edge_pb2.HistoryResponse.FromString((await part(stream)).message)
        assert [publication.data for publication in page.publications] == [b"0", b"1"]


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
@pytest.mark.parametrize(("reason", "gaps"), [(SHUTDOWN, 0), (INSUFFICIENT_STATE, 1)])
async def test_a_stream_has_events_and_ends_with_its_status(
    content_type: str, reason: Any, gaps: int
) -> None:
    """Every publication a message of its own; the end is UNAVAILABLE with the time to wait."""
    async with served() as node:
        stream = await ask(node, "Subscribe", subscribe("past:a", "open:b"), content_type=content_type)
        assert [(await event(stream)).subscribed.channel for _ in range(2)] == ["past:a", "open:b"]
        for number in range(3):
            await node.publish("past:a", b"%d" % number)
        assert [(await event(stream)).publication.data for _ in range(3)] == [b"0", b"1", b"2"]
        node.close_all(reason)
        for _ in range(gaps):
            assert (await event(stream)).HasField("gap")
        trailers = (await part(stream)).trailers
        assert trailers is not None
        assert (trailers["grpc-status"], trailers["broadcast-code"]) == ("14", str(reason.code))
        assert int(trailers["retry-after-ms"]) >= 500
        assert await stream.rest() == b""


async def test_what_cannot_be_done_is_a_status_in_the_body() -> None:
    """With HTTP status 200, as clients of gRPC-Web expect it."""
    denied = ClientOptions(token=TokenOptions(hmac_secret_key="k" * 32))
    async with served(client=denied) as node:
        stranger = await ask(node, "Publish", edge_pb2.PublishRequest(channel="open:a", data=b"1"))
        assert (await status(stranger))[0] == 16
        stream = await ask(node, "Subscribe", subscribe("open:a"), "Authorization: Bearer nonsense")
        assert await status(stream) == (16, "invalid token")
    async with served() as node:
        nowhere = await ask(node, "Subscribe", subscribe("nowhere:a"))
        assert (await status(nowhere))[0] == 5
        no_request = await ask(node, "Publish", b"\xff")
        assert (await status(no_request))[0] == 3
        node.open = False
        refused = await ask(node, "Subscribe", subscribe("open:a"))
        assert (await status(refused))[0] == 14


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\x00\x00", b"\x00\x00\x00\x00\x05abc", request(b"abc", BINARY, flags=1), b"\x00" * 11],
)
async def test_a_body_that_is_not_one_message_is_an_invalid_argument(body: bytes) -> None:
    """Cut short, compressed, or several."""
    async with served() as node:
        stream = await Stream.open(node, EDGE + "Publish", f"Content-Type: {BINARY}", body=body)
        assert (await status(stream))[0] == 3
        text = await Stream.open(node, EDGE + "Publish", f"Content-Type: {TEXT}", body=b"%%%")
        assert (await status(text))[0] == 3


async def test_pages_of_allowed_origins_may_ask_and_read() -> None:
    """A preflight names what may be sent; the answer what may be read; other origins get nothing."""
    async with served() as node:
        asked = "Access-Control-Request-Headers: content-type,x-grpc-web,authorization"
        preflight = await Stream.open(node, EDGE + "Publish", ORIGIN, asked, method="OPTIONS")
        assert preflight.status == 204
        assert preflight.fields["access-control-allow-origin"] == "https://good.example"
        assert "x-grpc-web" in preflight.fields["access-control-allow-headers"]
        message = edge_pb2.PublishRequest(channel="past:a", data=b"1")
        answer = await ask(node, "Publish", message, ORIGIN)
        assert answer.fields["access-control-allow-origin"] == "https://good.example"
        assert "grpc-status" in answer.fields["access-control-expose-headers"]
        body = request(message, BINARY)
        bad = "Origin: https://bad.example"
        other = await Stream.open(node, EDGE + "Publish", bad, f"Content-Type: {BINARY}", body=body)
        assert other.status == 403


@pytest.mark.parametrize(
    ("fields", "body", "http_status"),
    [
        (["Content-Type: application/grpc"], b"\x00" * 5, 415),
        ([f"Content-Type: {BINARY}"], b"\x00" * 100_000, 413),
    ],
)
async def test_requests_that_are_no_calls_have_an_http_status(
    fields: list[str], body: bytes, http_status: int
) -> None:
    """Another type, or too much."""
    async with served() as node:
        stream = await Stream.open(node, EDGE + "Publish", *fields, body=body)
        assert stream.status == http_status
