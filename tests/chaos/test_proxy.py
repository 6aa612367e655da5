"""Tests of `chaos.proxy`: real sockets on the loopback, and what the network does to them."""

import contextlib
import random
from collections.abc import AsyncIterator

import pytest
import trio

from chaos.proxy import CLEAR, Conditions, Proxy
from tests.patience import PATIENCE_S


@pytest.fixture
async def echo(nursery: trio.Nursery) -> AsyncIterator[int]:
    """A server that sends back what it gets; yields its port."""

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # tests break connections on purpose
            async for data in stream:
                await stream.send_all(data)

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    with trio.fail_after(PATIENCE_S):
        yield listener.socket.getsockname()[1]


@pytest.fixture
async def link(echo: int, nursery: trio.Nursery) -> Proxy:
    proxy = Proxy("127.0.0.1", echo, random.Random(1))
    await nursery.start(proxy.run)
    return proxy


async def exchange(stream: trio.SocketStream, data: bytes) -> bytes:
    await stream.send_all(data)
    received = b""
    while len(received) < len(data):
        chunk = await stream.receive_some()
        assert chunk, "the stream ended"
        received += chunk
    return received


async def connected(link: Proxy) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", link.port)


async def test_a_clear_link_carries_bytes_as_they_are(link: Proxy) -> None:
    """What goes through arrives whole and in order, much of it at once too."""
    async with await connected(link) as stream:
        data = random.Random(2).randbytes(1_000_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, data)
            received = b""
            while len(received) < len(data):
                received += await stream.receive_some()
        assert received == data
        assert link.connections == 1


async def test_the_end_of_a_stream_is_passed_on(link: Proxy) -> None:
    """A peer that has said everything is heard to have: half-closed connections work through it."""
    async with await connected(link) as stream:
        await stream.send_all(b"last")
        await stream.send_eof()
        assert b"".join([bytes(chunk) async for chunk in stream]) == b"last"


async def test_latency_delays_each_way(link: Proxy) -> None:
    """An exchange takes the latency twice, and the order of what is sent stays."""
    link.conditions = Conditions(latency_s=0.1, jitter_s=0.05)
    async with await connected(link) as stream:
        began = trio.current_time()
        assert await exchange(stream, b"ping") == b"ping"
        assert trio.current_time() - began >= 0.2
        assert await exchange(stream, bytes(range(256)) * 10) == bytes(range(256)) * 10


async def test_a_narrow_link_takes_its_time(link: Proxy) -> None:
    """So many bytes a second go through, and no more."""
    link.conditions = Conditions(bytes_per_s=100_000)
    async with await connected(link) as stream:
        began = trio.current_time()
        await exchange(stream, bytes(20_000))
        assert trio.current_time() - began >= 0.2


async def test_a_silent_link_holds_what_is_sent_until_it_is_healed(link: Proxy) -> None:
    """Half open: nobody is told anything, and nothing is lost, as TCP would send it again."""
    async with await connected(link) as stream:
        assert await exchange(stream, b"before") == b"before"
        link.conditions = Conditions(held=True)
        await stream.send_all(b"held")
        with trio.move_on_after(0.2) as patience:
            await stream.receive_some()
        assert patience.cancelled_caught
        async with await connected(link) as late:
            await late.send_all(b"late")
            link.conditions = CLEAR
            assert await stream.receive_some() == b"held"
            assert await late.receive_some() == b"late"


async def test_a_reset_breaks_what_is_open_and_nothing_else(link: Proxy) -> None:
    """Connections end with a reset, and new ones work."""
    async with await connected(link) as stream:
        await exchange(stream, b"x")
        link.reset()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    async with await connected(link) as stream:
        assert await exchange(stream, b"again") == b"again"


async def test_a_link_that_is_cut_refuses_new_connections(link: Proxy) -> None:
    """What comes meanwhile is reset."""
    link.conditions = Conditions(refused=True)
    async with await connected(link) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()


async def test_what_is_behind_and_gone_looks_gone(nursery: trio.Nursery) -> None:
    """A server that does not listen is seen as a reset, not as a connection that stays."""
    with trio.fail_after(PATIENCE_S):
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        await listener.aclose()
        proxy = Proxy("127.0.0.1", port, random.Random(1))
        await nursery.start(proxy.run)
        async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
