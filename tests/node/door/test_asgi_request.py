"""ASGI requests are read by the door's rules, and answered whatever became of their body."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from node.door.asgi_request import BodyError, head_of, peer_of, read_body, respond
from node.door.head import HeadError
from tests.patience import PATIENCE_S


def scope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "raw_path": b"/a%20b",
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"host", b"test")],
        "client": ("192.0.2.1", 1234),
    } | changes


def messages(*parts: bytes | None) -> Callable[[], Any]:
    """A `receive` that brings these parts of a body; None stands for a client that has gone."""
    waiting = [
        {"type": "http.disconnect"}
        if part is None
        else {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
        for index, part in enumerate(parts)
    ]

    async def receive() -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return waiting.pop(0) if waiting else await trio.sleep_forever()

    return receive


def test_a_scope_is_a_head() -> None:
    """Method, path, query and headers are the request's."""
    head = head_of(scope(method="POST", query_string=b"x=1", headers=[(b"host", b"test"), (b"X-A", b"b")]))
    assert (head.method, head.path, head.query("x"), head.header("x-a")) == ("POST", "/a b", "1", "b")


def test_http2_reads_as_the_same_request() -> None:
    """Other framing, same meaning; a WebSocket over HTTP/2 has no method in its scope."""
    assert head_of(scope(http_version="2")).version == "1.1"
    without = scope(http_version="2", type="websocket")
    del without["method"]
    assert head_of(without).method == "GET"


def test_fields_can_be_replaced() -> None:
    """What hops between servers is not passed on."""
    original = scope(headers=[(b"host", b"test"), (b"Upgrade", b"x")])
    head = head_of(original, without=frozenset((b"upgrade",)), fields=((b"Y", b"z"),))
    assert head.headers == {"host": "test", "y": "z"}


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": []},
        {"raw_path": b"/%ff"},
        {"headers": [(b"host", b"a"), (b"content-length", b"1"), (b"transfer-encoding", b"chunked")]},
        {"headers": [(b"host", b"a"), (b"x", b"a\x01b")]},
    ],
)
def test_what_the_door_refuses_is_refused(changes: dict[str, Any]) -> None:
    """A more lenient server in front changes nothing."""
    with pytest.raises(HeadError):
        head_of(scope(**changes))


def test_the_peer_is_named() -> None:
    """For the log, as far as it is known."""
    assert peer_of(scope()) == "192.0.2.1:1234"
    assert peer_of(scope(client=("::1", 1234))) == "[::1]:1234"
    assert peer_of(scope(client=None)) == ""


async def test_a_body_is_read_whole() -> None:
    """All its parts, up to the limit."""
    assert await read_body(messages(b"ab", b"", b"c"), 3, 1) == b"abc"
    assert await read_body(messages(b"ab", None), 3, 1) is None


async def test_a_body_has_limits(autojump_clock: trio.testing.MockClock) -> None:
    """Too long is a 413 as soon as it is, too slow a 408."""
    with pytest.raises(BodyError) as caught:
        await read_body(messages(b"ab", b"cd", b""), 3, 1)
    assert caught.value.status == 413

    async def never() -> dict[str, Any]:
        return await trio.sleep_forever()

    with pytest.raises(BodyError) as caught:
        await read_body(never, 3, 1)
    assert caught.value.status == 408
    assert trio.current_time() == 1


async def test_an_answer_takes_the_body_nobody_wants() -> None:
    """A server that waits for its queue of body parts to be taken gets its response done."""
    send_part, receive_part = trio.open_memory_channel[dict[str, Any]](0)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        for _ in range(5):
            await send_part.send({"type": "http.request", "body": b"x", "more_body": True})
        if message["type"] == "http.response.body":
            await send_part.send({"type": "http.disconnect"})

    with trio.fail_after(PATIENCE_S):
        await respond(receive_part.receive, send, 413, b"no", ((b"x", b"y"),))
    assert sent[0] == {
        "type": "http.response.start",
        "status": 413,
        "headers": [(b"x", b"y"), (b"content-length", b"2")],
    }
    assert sent[1]["body"] == b"no"


async def test_an_answer_does_not_wait_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    """A server that never says that the response is complete is not waited for."""

    async def send(message: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()

    await respond(messages(), send, 200)
    assert trio.current_time() == 5
