"""The outbox: order, the bound, the goodbye, and what happens to a dead or slow client."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
import trio.testing

from node.outbox import Outbox, Writers
from tests.patience import PATIENCE_S


class Owner:
    """Records what the outbox tells."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def outbox_overflowed(self) -> None:
        self.told.append("overflowed")

    def outbox_broken(self, error: Exception) -> None:
        self.told.append(f"broken {type(error).__name__}")

    def outbox_flushed(self) -> None:
        self.told.append("flushed")


@pytest.fixture
async def nursery() -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with ours, theirs:
        yield ours, theirs


async def receive(sock: socket.socket, size: int) -> bytes:
    received = b""
    with trio.fail_after(PATIENCE_S):
        while len(received) < size:
            await trio.lowlevel.wait_readable(sock)
            received += sock.recv(65536)
    return received


def take(sock: socket.socket) -> bytes:
    """What has arrived."""
    try:
        return sock.recv(65536)
    except BlockingIOError:
        return b""


async def test_writes_go_out_at_once_and_in_order(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """While the socket takes everything, nothing waits and no writer task exists."""
    outbox = Outbox(pair[0], Writers(1000, nursery), Owner())
    outbox.write(b"one ")
    outbox.write(b"two")
    assert pair[1].recv(100) == b"one two"
    assert outbox.bytes_waiting == 0
    assert not nursery.child_tasks


async def test_what_the_socket_does_not_take_is_sent_later_in_order(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A client that reads slowly gets every byte, in order, and the goodbye last."""
    owner = Owner()
    outbox = Outbox(pair[0], Writers(10_000_000, nursery), owner)
    blocks = [bytes([65 + i % 26]) * 5000 for i in range(200)]
    for block in blocks:
        outbox.write(block)
    assert outbox.bytes_waiting > 0
    outbox.finish(b"bye")
    outbox.write(b"never")
    expected = b"".join(blocks) + b"bye"
    assert await receive(pair[1], len(expected)) == expected
    with trio.fail_after(PATIENCE_S):
        while not owner.told:
            await trio.lowlevel.checkpoint()
    assert owner.told == ["flushed"]


async def test_a_slow_client_is_ended_and_its_bytes_are_forgotten(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """More than the bound waiting ends the client once, and later writes cost nothing."""
    owner = Owner()
    outbox = Outbox(pair[0], Writers(100_000, nursery), owner)
    for _ in range(1000):
        outbox.write(b"x" * 1000)
    assert owner.told == ["overflowed"]
    assert outbox.bytes_waiting == 0


async def test_a_dead_connection_is_reported_once(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A reset is told to the owner, not raised into the fan-out."""
    owner = Owner()
    outbox = Outbox(pair[0], Writers(1000, nursery), owner)
    pair[1].close()
    outbox.write(b"one")
    outbox.write(b"two")
    assert owner.told == ["broken BrokenPipeError"]


async def test_a_dead_connection_is_noticed_by_the_writer(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A client that dies while bytes wait for it is reported by the writer task."""
    owner = Owner()
    outbox = Outbox(pair[0], Writers(10_000_000, nursery), owner)
    outbox.write(b"x" * 1_000_000)
    pair[1].close()
    with trio.fail_after(PATIENCE_S):
        while not owner.told:
            await trio.lowlevel.checkpoint()
    assert owner.told[0].startswith("broken ")


async def test_a_writer_does_nothing_after_an_abort(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Aborted while it waits for the socket, it neither sends nor counts, and ends."""
    outbox = Outbox(pair[0], Writers(10_000_000, nursery), Owner())
    outbox.write(b"x" * 1_000_000)
    await trio.testing.wait_all_tasks_blocked()
    outbox.abort()
    while take(pair[1]):
        pass
    with trio.fail_after(PATIENCE_S):
        while nursery.child_tasks:
            await trio.lowlevel.checkpoint()
    assert outbox.bytes_waiting == 0
    assert take(pair[1]) == b""


async def test_finish_with_nothing_waiting_flushes_at_once(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A goodbye to a client that is up to date needs no task."""
    owner = Owner()
    outbox = Outbox(pair[0], Writers(1000, nursery), owner)
    outbox.finish(b"bye")
    outbox.finish(b"again")
    assert pair[1].recv(100) == b"bye"
    assert owner.told == ["flushed"]


async def test_one_large_write_is_no_sign_of_a_slow_client(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A recovery larger than the bound is delivered to a client that reads, with what follows it."""
    owner = Owner()
    outbox = Outbox(pair[0], Writers(1000, nursery), owner)
    outbox.write(b"x" * 1_000_000)
    outbox.write(b"y" * 900)
    assert owner.told == []
    assert await receive(pair[1], 1_000_900) == b"x" * 1_000_000 + b"y" * 900
