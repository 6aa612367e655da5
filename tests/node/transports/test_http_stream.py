"""Streams without an end, their requests and their refusals, against a whole node over loopback."""

import json
from urllib.parse import quote

import pytest
import trio

from node.config.options import ClientOptions, Duration
from node.protocol.reasons import SHUTDOWN
from protos import client_pb2
from tests.node.transports.served import served
from tests.node.transports.stream_client import CONNECT, Stream, frame, protobuf_frame

SSE = "/connection/sse"
HTTP = "/connection/http_stream"
UNI = "/connection/uni_http_stream"
SUBSCRIBE = {"id": 2, "subscribe": {"channel": "past:a"}}


async def test_sse_answers_the_commands_of_its_request() -> None:
    """The first commands are in the query or in a POST; replies and pushes are events with data alone."""
    async with served() as node:
        query = quote(frame(CONNECT, SUBSCRIBE))
        got = await Stream.open(node, f"{SSE}?cf_connect={query}", method="GET")
        posted = await Stream.open(node, SSE, body=frame(CONNECT, SUBSCRIBE))
        for stream in (got, posted):
            assert stream.fields["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.fields["x-accel-buffering"] == "no"
            assert "no-store" in stream.fields["cache-control"]
            connected = (await stream.event())["connect"]
            assert connected["pong"] is True
            assert len(connected["session"]) == 32
            assert connected["node"] == node.parts.emulation.node
            assert (await stream.event())["subscribe"]["recoverable"] is True
        await node.publish("past:a", '"grüße"'.encode())
        push = (await got.event())["push"]
        assert push["pub"]["data"] == "grüße"
        assert await posted.event() == {"push": push}


async def test_http_stream_sends_lines_of_ascii() -> None:
    """A character cannot fall into two chunks of a reader that decodes each by itself."""
    async with served() as node:
        stream = await Stream.open(node, HTTP, body=frame(CONNECT, SUBSCRIBE))
        assert stream.fields["content-type"] == "application/json; charset=utf-8"
        await stream.line()
        await stream.line()
        await node.publish("past:a", '{"t":"grüße \\" 🎈 \\u00e9"}'.encode())
        line = await stream._until(b"\n")
        assert line.isascii()
        assert json.loads(line)["push"]["pub"]["data"] == {"t": 'grüße " 🎈 é'}


async def test_http_stream_speaks_protobuf_if_it_is_asked_in_it() -> None:
    """The request's Content-Type decides for both directions."""
    async with served() as node:
        body = protobuf_frame(
            client_pb2.Command(id=1, connect=client_pb2.ConnectRequest()),
            client_pb2.Command(id=2, subscribe=client_pb2.SubscribeRequest(channel="open:a")),
        )
        stream = await Stream.open(node, HTTP, "Content-Type: application/octet-stream", body=body)
        assert stream.fields["content-type"] == "application/octet-stream"
        assert len((await stream.reply()).connect.session) == 32
        assert (await stream.reply()).HasField("subscribe")
        await node.publish("open:a", b"\xff\x00")
        assert (await stream.reply()).push.pub.data == b"\xff\x00"


async def test_uni_http_stream_sends_bare_pushes() -> None:
    """The body is a connect request; the first line says what was granted, the others are pushes."""
    async with served() as node:
        body = json.dumps({"subs": {"past:a": {}}}).encode()
        stream = await Stream.open(node, UNI, body=body)
        connected = (await stream.line())["connect"]
        assert connected["subs"]["past:a"]["recoverable"] is True
        assert "session" not in connected
        await node.publish("past:a", b"1")
        push = await stream.line()
        assert (push["channel"], push["pub"]["data"]) == ("past:a", 1)
        assert node.parts.metrics.connected["uni_http_stream"] == 1


async def test_a_position_of_one_transport_is_honoured_by_the_others() -> None:
    """What was missed on one of them comes on another."""
    async with served() as node:
        first = await Stream.open(node, f"{SSE}?cf_connect={quote(frame(CONNECT, SUBSCRIBE))}", method="GET")
        await first.event()
        at = (await first.event())["subscribe"]
        await first.stream.aclose()
        await node.publish("past:a", b"1")
        since = {"recover": True, "epoch": at["epoch"], "offset": at["offset"]}
        http = await Stream.open(
            node, HTTP, body=frame(CONNECT, {"id": 2, "subscribe": {"channel": "past:a", **since}})
        )
        await http.line()
        result = (await http.line())["subscribe"]
        uni = await Stream.open(node, UNI, body=json.dumps({"subs": {"past:a": since}}).encode())
        granted = (await uni.line())["connect"]["subs"]["past:a"]
        for recovered in (result, granted):
            assert recovered["recovered"] is True
            assert [publication["data"] for publication in recovered["publications"]] == [1]


@pytest.mark.parametrize(
    ("path", "end"),
    [
        (SSE, b'data: {"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}\n\n'),
        (HTTP, b'{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}\n'),
        (UNI, b'{"disconnect":{"code":3001,"reason":"shutdown"}}\n'),
    ],
)
async def test_a_goodbye_is_a_push_and_the_end_of_the_stream(path: str, end: bytes) -> None:
    """Whoever is sent away is told why, after everything that was queued."""
    async with served() as node:
        stream = await Stream.open(node, path, body=b"{}" if path == UNI else frame(CONNECT))
        await stream._until(b"\n\n" if path == SSE else b"\n")
        node.close_all(SHUTDOWN)
        assert await stream.rest() == end
        await stream.stream.aclose()
        await node.empty()
        assert len(node.parts.emulation) == 0


@pytest.mark.parametrize("path", [f"{SSE}?cf_connect={quote(frame(CONNECT))}", HTTP, UNI])
async def test_a_node_that_leaves_refuses_with_a_status(path: str) -> None:
    """SDKs wait after 503; a stream that ends with a push that lets them come back makes some hurry."""
    async with served() as node:
        node.open = False
        method = "GET" if path.startswith(SSE) else "POST"
        stream = await Stream.open(node, path, method=method, body=b"" if method == "GET" else b"{}")
        assert stream.status == 503
        assert 1 <= int(stream.fields["retry-after"]) <= 5
        assert len(node.parts.sessions) == 0


@pytest.mark.parametrize(
    ("target", "method", "body", "status"),
    [
        (SSE, "GET", b"", 400),
        (f"{SSE}?cf_connect=%7B", "GET", b"", 400),
        (SSE, "DELETE", b"", 405),
        (HTTP, "GET", b"", 405),
        (HTTP, "POST", b"", 400),
        (HTTP, "POST", b"{", 400),
        (HTTP, "POST", b"x" * 10_001, 413),
        (UNI, "GET", b"", 405),
        (UNI, "POST", b"[]", 400),
    ],
)
async def test_requests_that_cannot_be_served_have_their_status(
    target: str, method: str, body: bytes, status: int
) -> None:
    """Nothing of them becomes a session."""
    async with served() as node:
        stream = await Stream.open(node, target, method=method, body=body)
        assert stream.status == status
        assert len(node.parts.sessions) == 0
        assert sum(node.parts.metrics.refused.values()) == 1


@pytest.mark.parametrize("path", [SSE, HTTP, UNI])
async def test_pages_of_other_origins(path: str) -> None:
    """An allowed origin may ask and read, also in advance; another one is refused."""
    good, evil = "Origin: https://good.example", "Origin: https://evil.example"
    async with served() as node:
        wanted = "Access-Control-Request-Headers: content-type"
        asked = await Stream.open(node, path, good, wanted, method="OPTIONS")
        assert asked.status == 204
        assert asked.fields["access-control-allow-origin"] == "https://good.example"
        assert asked.fields["access-control-allow-headers"] == "content-type"
        assert "POST" in asked.fields["access-control-allow-methods"]
        stream = await Stream.open(node, path, good, body=b"{}" if path == UNI else frame(CONNECT))
        assert stream.status == 200
        assert stream.fields["access-control-allow-credentials"] == "true"
        refused = await Stream.open(node, path, evil, body=frame(CONNECT))
        assert refused.status == 403
        assert "access-control-allow-origin" not in refused.fields


async def test_who_may_not_connect_is_told_in_the_stream() -> None:
    """A token that is wrong for good ends an SDK's client for good, which no status would."""
    async with served(ClientOptions()) as node:
        stream = await Stream.open(node, HTTP, body=frame(CONNECT))
        assert stream.status == 200
        assert (await stream.line())["push"]["disconnect"]["code"] == 3501
        assert await stream.rest() == b""


async def test_a_request_that_does_not_begin_with_connect_ends() -> None:
    """Nobody is served before they connect."""
    async with served() as node:
        stream = await Stream.open(node, HTTP, body=frame(SUBSCRIBE, CONNECT))
        assert (await stream.line())["push"]["disconnect"]["code"] == 3501
        assert await stream.rest() == b""


async def test_a_connect_that_fails_for_now_is_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary error, or a close that lets clients come back, would have some come back at once."""

    async def fail(*_: object) -> None:
        raise trio.TooSlowError

    monkeypatch.setitem(_serve_table(), "connect", fail)
    async with served() as node:
        stream = await Stream.open(node, HTTP, body=frame(CONNECT))
        assert stream.status == 503
        assert "retry-after" in stream.fields
        await node.empty()


def _serve_table() -> dict[str, object]:
    from node import commands

    return commands._SERVE  # type: ignore[return-value]


async def test_a_stream_that_says_too_much_ends() -> None:
    """Its connection is for listening; what comes over it is dropped, up to a limit."""
    async with served() as node:
        stream = await Stream.open(node, HTTP, body=frame(CONNECT))
        await stream.line()
        await stream.stream.send_all(b"x" * 1000)
        assert len(node.parts.sessions) == 1
        await stream.stream.send_all(b"x" * 70_000)
        await node.empty()


async def test_clients_are_pinged(autojump_clock: trio.testing.MockClock) -> None:
    """An emulated client answers with a POST; a unidirectional one need not."""
    client = ClientOptions(insecure=True, ping_interval=Duration(0.2), pong_timeout=Duration(0.1))
    async with served(client) as node:
        uni = await Stream.open(node, UNI, body=b"{}")
        assert (await uni.line())["connect"]["ping"] == 1
        emulated = await Stream.open(node, HTTP, body=frame(CONNECT))
        await emulated.line()
        assert await emulated.line() == {}
        assert (await emulated.line())["push"]["disconnect"]["code"] == 3012
        assert await uni.line() == {}
        assert await uni.line() == {}
