"""Reading, writing and ending one connection, on a real socket pair."""

import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio

from node.door.connection import Connection, connection_header
from node.door.head import Head, parse_head
from node.timers import Timers


class Pair:
    """A connection and the other end of its socket."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.other = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        ours.setblocking(False)
        self.timers = Timers()
        self.connection = Connection(ours, "test", self.timers)
        self.stream = trio.SocketStream(trio.socket.from_stdlib_socket(self.other))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair()
    yield pair
    pair.connection.close()
    await pair.stream.aclose()


def head(line: str = "GET / HTTP/1.1", *fields: str) -> Head:
    return parse_head("\r\n".join((line, "Host: a", *fields, "", "")).encode())


async def test_what_was_read_comes_before_what_comes(pair: Pair) -> None:
    """`receive` gives the bytes that are left over first, and nothing twice."""
    pair.connection.received += b"left over"
    await pair.stream.send_all(b"new")
    assert await pair.connection.receive() == b"left over"
    assert await pair.connection.receive() == b"new"
    await pair.stream.send_eof()
    assert await pair.connection.receive() == b""


async def test_fill_adds_to_what_was_read(pair: Pair) -> None:
    """Bytes stay in order in `received` until somebody takes them."""
    pair.connection.received += b"a"
    await pair.stream.send_all(b"b")
    assert await pair.connection.fill()
    assert pair.connection.received == b"ab"
    await pair.stream.send_eof()
    assert not await pair.connection.fill()


async def test_a_glance_takes_what_is_there_and_waits_for_nothing(pair: Pair) -> None:
    """A request that came before its connection was accepted needs no wait; none, or an end, is no fault."""
    pair.connection.glance()
    assert not pair.connection.received
    await pair.stream.send_all(b"GET")
    with trio.fail_after(60):
        await trio.lowlevel.wait_readable(pair.connection.sock)
    pair.connection.glance()
    assert pair.connection.received == b"GET"
    await pair.stream.send_eof()
    pair.connection.glance()
    assert not await pair.connection.fill()
    pair.connection.sock.close()
    pair.connection.glance()


async def test_a_cancelled_receive_takes_nothing(pair: Pair) -> None:
    """What a cancelled reader would have got is still there for the next one."""
    pair.connection.received += b"a"
    with trio.CancelScope() as scope:
        scope.cancel()
        await pair.connection.receive()
    assert scope.cancelled_caught
    assert await pair.connection.receive() == b"a"


async def test_a_reset_is_an_end(pair: Pair) -> None:
    """A connection that broke reads as ended and takes no more bytes; nothing is raised."""
    pair.other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    await pair.stream.aclose()
    assert await pair.connection.receive() == b""
    assert not await pair.connection.send(b"a")


async def test_a_large_answer_waits_for_its_reader(pair: Pair) -> None:
    """What the socket does not take at once is sent as the client reads."""
    data = bytes(range(256)) * 40_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.connection.send, data)
        await trio.testing.wait_all_tasks_blocked()
        received = bytearray()
        while len(received) < len(data):
            received += await pair.stream.receive_some()
    assert received == data


async def test_the_deadline_ends_reading_and_leaves_writing(
    pair: Pair, autojump_clock: trio.testing.MockClock
) -> None:
    """A late client is woken from, marked, and can still be answered; a deadline taken back does nothing."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.timers.run)
        pair.connection.expire_at(trio.current_time() + 1)
        pair.connection.unexpire()
        await trio.sleep(2)
        assert not pair.connection.late
        pair.connection.expire_at(trio.current_time() + 1)
        assert await pair.connection.receive() == b""
        assert pair.connection.late
        assert await pair.connection.send(b"too late")
        assert await pair.stream.receive_some() == b"too late"
        nursery.cancel_scope.cancel()


async def test_a_last_answer_arrives_although_more_was_sent(
    pair: Pair, autojump_clock: trio.testing.MockClock
) -> None:
    """RFC 9112, 9.6: unread bytes do not reset the connection over its last answer."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.stream.send_all, b"x" * 500_000)
        keep_alive = True

        async def answer() -> None:
            nonlocal keep_alive
            keep_alive = await pair.connection.answer(head(), 413, "too much", close=True)
            pair.connection.close()

        nursery.start_soon(answer)
        received = b""
        while data := await pair.stream.receive_some():
            received += data
    assert received.startswith(b"HTTP/1.1 413 ")
    assert received.endswith(b"\r\n\r\ntoo much\n")
    assert not keep_alive


async def test_a_farewell_has_an_end(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    """A client that neither reads nor closes, or sends for ever, is not waited for."""
    began = trio.current_time()
    await pair.connection.answer(None, 400, "no")
    assert trio.current_time() - began == 2
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def flood() -> None:
                with suppress(trio.BrokenResourceError):
                    while True:
                        await pair.stream.send_all(b"x" * 65_536)

            nursery.start_soon(flood)
            await pair.connection.answer(None, 400, "no")
            pair.connection.close()
    assert not scope.cancelled_caught


@pytest.mark.parametrize(("more", "waits_s"), [(b"", 0), (b"more", 2)])
async def test_nothing_is_awaited_of_who_has_said_all(
    pair: Pair, autojump_clock: trio.testing.MockClock, more: bytes, waits_s: float
) -> None:
    """Its request was the last by its own word: the connection ends with the answer, unless more came."""
    began = trio.current_time()
    pair.connection.received += more
    assert not await pair.connection.send_answer(b"all", keep_alive=False, heard_all=True)
    assert trio.current_time() - began == waits_s
    pair.connection.close()
    assert await pair.stream.receive_some() == b"all"
    assert await pair.stream.receive_some() == b""


async def test_closing_wakes_who_waits(pair: Pair) -> None:
    """A writer that waits for the socket does not hang when it is closed; closing twice is allowed."""
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(pair.connection.sock)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        pair.connection.close()
        pair.connection.close()


def test_the_connection_header_says_what_the_client_would_not_assume() -> None:
    """RFC 9112, 9.3: close is always said, keep-alive to HTTP/1.0 only."""
    assert connection_header(head(), keep_alive=True) == ""
    assert connection_header(head(), keep_alive=False) == "close"
    assert connection_header(None, keep_alive=False) == "close"
    old = head("GET / HTTP/1.0", "Connection: keep-alive")
    assert connection_header(old, keep_alive=True) == "keep-alive"
