"""What an outbox that holds back sends, and when."""

import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from node.outbox import Writers
from node.transports.held_outbox import HeldOutbox


class Owner:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def outbox_overflowed(self) -> None:
        self.told.append("overflowed")

    def outbox_broken(self, error: Exception) -> None:
        self.told.append("broken")

    def outbox_flushed(self) -> None:
        self.told.append("flushed")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def test_the_head_goes_out_before_what_was_held(
    pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    """Nothing is sent until the head is known, and then everything in order."""
    outbox = HeldOutbox(pair[0], Writers(1000, nursery), Owner())
    outbox.write(b"1")
    outbox.write(b"2")
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(BlockingIOError):
        pair[1].recv(10)
    outbox.release(b"head")
    outbox.write(b"3")
    outbox.release(b"never")
    assert pair[1].recv(100) == b"head123"


async def test_a_goodbye_that_was_held_ends_the_outbox_after_the_head(
    pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    """A session may end before its stream began; the owner hears of the flush when it is one."""
    owner = Owner()
    outbox = HeldOutbox(pair[0], Writers(1000, nursery), owner)
    outbox.finish(b"bye")
    assert owner.told == []
    outbox.release(b"head ")
    outbox.write(b"late")
    assert (pair[1].recv(100), owner.told) == (b"head bye", ["flushed"])


async def test_what_is_held_is_bounded(
    pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    """Held bytes count towards the client's limit; an aborted outbox sends nothing, not even the head."""
    owner = Owner()
    outbox = HeldOutbox(pair[0], Writers(3, nursery), owner)
    outbox.write(b"123")
    assert owner.told == []
    outbox.write(b"4")
    assert owner.told == ["overflowed"]
    outbox.release(b"head")
    with pytest.raises(BlockingIOError):
        pair[1].recv(10)


async def test_what_was_asked_for_may_be_longer_than_the_bound(
    pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    """A recovery is no sign of a slow client; what is published behind it counts."""
    owner = Owner()
    outbox = HeldOutbox(pair[0], Writers(3, nursery), owner)
    outbox.answer(b"recovered ")
    outbox.write(b"123")
    assert owner.told == []
    outbox.release(b"head ")
    assert pair[1].recv(100) == b"head recovered 123"
