"""Reading and writing a plain connection to NATS: what a stream promises, on real sockets."""

import socket
import struct

import pytest
import trio
from trio.testing import memory_stream_pair

from node.broker.nats.line import Line, line_of

LARGE = bytes(range(256)) * 20_000


async def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = await trio.open_tcp_stream(*server.getsockname())
        theirs, _ = server.accept()
    return ours, trio.SocketStream(trio.socket.from_stdlib_socket(theirs))


async def test_everything_arrives_however_much_the_kernel_takes() -> None:
    """More than a socket's buffers hold is sent in order, while somebody reads, and then the end is seen."""
    ours, theirs = await pair()
    line = line_of(ours)
    assert isinstance(line, Line)
    received = b""
    async with trio.open_nursery() as nursery, ours:
        nursery.start_soon(line.send_all, LARGE)
        with trio.fail_after(60):
            while len(received) < len(LARGE):
                received += await theirs.receive_some()
    assert received == LARGE
    await theirs.aclose()


async def test_reading_waits_for_what_comes_and_finds_the_end() -> None:
    """Bytes as they come, then b"" for the end, as of any stream."""
    ours, theirs = await pair()
    async with ours:
        await theirs.send_all(b"INFO")
        with trio.fail_after(60):
            assert await Line(ours).receive_some(100) == b"INFO"
            await theirs.aclose()
            assert await Line(ours).receive_some(100) == b""


async def test_a_broken_connection_is_trios_error() -> None:
    """Who reads and who writes learn of a reset in the words of trio's streams."""
    ours, theirs = await pair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await theirs.aclose()
    line = Line(ours)
    async with ours:
        with trio.fail_after(60), pytest.raises(trio.BrokenResourceError):
            await line.receive_some(100)
        with trio.fail_after(60), pytest.raises(trio.BrokenResourceError):
            await line.send_all(LARGE)


def test_other_streams_are_used_as_they_are() -> None:
    """TLS has bytes of its own that no socket shows."""
    stream, _ = memory_stream_pair()
    assert line_of(stream) is stream
