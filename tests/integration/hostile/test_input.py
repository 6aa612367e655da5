"""Input that is no command, no frame or no request: a clear answer to its sender, nothing to anybody else."""

from contextlib import suppress
from typing import Any

import pytest
import trio

from tests.integration.cluster import API_KEY, NodeProcess
from tests.integration.hostile.conftest import IMPATIENT_S
from tests.integration.raw import BINARY, CLOSE, CONNECT, PING, TEXT, Raw

BIG = 10_000_000
KEY_FIELD = f"X-API-Key: {API_KEY}"


# --- what is no command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 3501),
        ("[]", 3501),
        ("", 3501),
        ("\n", 3501),
        ('{"id":2,"nonsense":{}}', 3501),
        ('{"id":-2,"subscribe":{"channel":"a"}}', 3501),
        ('{"id":2,"subscribe":{"channel":7}}', 3501),
        ('{"id":2,"subscribe":{}}', 3501),
        (CONNECT, 3501),
        ("{}", 3501),
        ('{"send":{"data":{}}}', 3508),
        ("[" * 60_000, 3501),
        ('{"id":1e99,"ping":{}}', 3501),
        ('{"id":2,"publish":{"channel":"a","data":' + "[" * 30_000 + "}}", 3501),
    ],
)
async def test_bad_commands_end_the_session(node: NodeProcess, text: str, code: int) -> None:
    """What is no command, or none that is allowed now, is answered with its close code and a reason."""
    async with await Raw.open(node.http) as raw:
        await raw.connected()
        await raw.send_text(text)
        closed, reason = await raw.closed()
        assert (closed, bool(reason)) == (code, True)


@pytest.mark.parametrize(
    "text", ['{"id":2,"subscribe":{"channel":"news"}}', "{}", "nonsense", '{"id":1,"publish":{}}']
)
async def test_commands_before_connect_end_the_session(node: NodeProcess, text: str) -> None:
    """Nobody is served before they connect."""
    async with await Raw.open(node.http) as raw:
        await raw.upgrade("/connection/websocket")
        await raw.send_text(text)
        assert (await raw.closed())[0] == 3501


@pytest.mark.parametrize("data", [b"\xff" * 10, b"\x7f\x08\x01", b"\x80" * 20, b"", b"\x02\x08", b"\x00"])
async def test_bad_protobuf_ends_the_session(node: NodeProcess, data: bytes) -> None:
    """Frames that are no Protobuf commands are refused like malformed JSON."""
    async with await Raw.open(node.http) as raw:
        await raw.upgrade("/connection/websocket?cf_protocol=protobuf")
        await raw.send_frame(BINARY, data)
        assert (await raw.closed())[0] == 3501


@pytest.mark.parametrize("text", ["{", "[1]", '{"type":"nonsense"}', '{"type":"subscribe"}'])
async def test_the_plain_form_explains_what_was_wrong(node: NodeProcess, text: str) -> None:
    """People without an SDK get an error in words, and their connection stays."""
    async with await Raw.open(node.http) as raw:
        await raw.upgrade("/ws")
        await raw.send_text(text)
        await raw.send_text('{"type":"subscribe","channel":"news"}')
        replies: list[dict[str, Any]] = []
        while not any(reply["type"] == "subscribed" for reply in replies):
            replies += await raw.replies()
        (error,) = [reply for reply in replies if reply["type"] == "error"]
        assert error["message"]


# --- what is no WebSocket ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opcode", "payload", "how", "code"),
    [
        (TEXT, b"\xff\xfe", {}, 1007),
        (TEXT, b"{}", {"masked": False}, 1002),
        (TEXT, b"{}", {"reserved": 4}, 1002),
        (3, b"{}", {}, 1002),
        (0, b"{}", {}, 1002),
        (PING, b"x" * 126, {}, 1002),
        (PING, b"", {"final": False}, 1002),
        (CLOSE, b"\x00", {}, 1002),
        (CLOSE, b"\x03\xed", {}, 1002),
        (TEXT, b"x" * BIG, {}, 1009),
        (BINARY, b"x" * BIG, {"final": False}, 1009),
    ],
)
async def test_broken_frames_fail_the_connection(
    node: NodeProcess, opcode: int, payload: bytes, how: dict[str, Any], code: int
) -> None:
    """RFC 6455: invalid UTF-8, a missing mask, reserved bits, broken control frames and sizes have codes."""
    async with await Raw.open(node.http) as raw:
        await raw.connected()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_anyhow, raw, opcode, payload, how)
            assert (await raw.closed())[0] == code
            nursery.cancel_scope.cancel()


async def send_anyhow(raw: Raw, opcode: int, payload: bytes, how: dict[str, Any]) -> None:
    """Send a frame, whether or not the other side still listens."""
    try:
        await raw.send_frame(opcode, payload, **how)
    except trio.BrokenResourceError:
        return


# --- what is no request -----------------------------------------------------------------------------

LINES = "GET /livez HTTP/1.1\r\nHost: test\r\n"
POST = f"POST /api/publish HTTP/1.1\r\nHost: test\r\n{KEY_FIELD}\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (f"{LINES}X: {'x' * 100_000}\r\n\r\n", 431),
        (f"GET /{'x' * 100_000} HTTP/1.1\r\nHost: test\r\n\r\n", 431),
        (LINES + "X: y\r\n" * 20_000 + "\r\n", 431),
        (f"{POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", 400),
        (f"{POST}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (f"{POST}Content-Length: -1\r\n\r\n", 400),
        (f"{POST}Content-Length: +2\r\n\r\n{{}}", 400),
        (f"{POST}Transfer-Encoding: gzip\r\n\r\n", 501),
        (f"{POST}Content-Length : 2\r\n\r\n{{}}", 400),
        (f"{POST}Content-Length: {BIG}\r\n\r\n", 413),
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /livez HTTP/9.9\r\nHost: a\r\n\r\n", 505),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
    ],
)
async def test_broken_requests_have_their_status(node: NodeProcess, request_: str, status: int) -> None:
    """What cannot be read, or could be read in two ways, is refused, and the connection ends."""
    async with await Raw.open(node.http) as raw:
        await raw.send(request_.encode("latin-1"))
        answer = await raw.answer()
        assert answer.status == status
        assert await raw.body(answer)
        assert await raw.rest() == b"", "something behind the refused request was answered"


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'{"channel":', b"\xff", b"[" * 100_000])
async def test_bodies_that_are_no_calls_are_400(node: NodeProcess, body: bytes) -> None:
    """A body that is not a JSON object is a bad request; the connection carries the next one."""
    async with await Raw.open(node.http) as raw:
        await raw.request(
            f"POST /api/info HTTP/1.1\nHost: test\n{KEY_FIELD}\nContent-Length: {len(body)}", body
        )
        answer = await raw.answer()
        assert (answer.status, await raw.body(answer)) == (400, b"Bad Request\n")
        assert "result" in await raw.post("/api/info", {}, KEY_FIELD)


@pytest.mark.parametrize("request_", [f"{POST}Content-Length: 2\r\n\r\n{{", LINES, "G"])
async def test_half_a_request_is_not_waited_for_long(impatient: NodeProcess, request_: str) -> None:
    """Who stops in the middle, of the head or of the body, is told so after the time for it."""
    async with await Raw.open(impatient.http) as raw:
        await raw.send(request_.encode())
        answer = await raw.answer()
        assert answer.status == 408
        assert await raw.body(answer)
        assert await raw.rest() == b""


async def test_who_says_nothing_is_let_go(impatient: NodeProcess) -> None:
    """Connections that never ask for anything end after the time for a head."""
    async with await Raw.open(impatient.http) as raw:
        assert await raw.rest() == b""


async def test_a_head_that_drips_has_no_more_time(impatient: NodeProcess) -> None:
    """The deadline is for the whole head: sending a byte now and then does not move it."""
    async with await Raw.open(impatient.http) as raw, trio.open_nursery() as nursery:

        async def drip() -> None:
            await raw.send(LINES.encode())
            with suppress(trio.BrokenResourceError):
                while True:
                    await raw.send(b"x")
                    await trio.sleep(IMPATIENT_S / 10)

        nursery.start_soon(drip)
        assert (await raw.answer()).status == 408
        nursery.cancel_scope.cancel()
