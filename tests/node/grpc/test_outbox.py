"""The bounded queue of a stream."""

import asyncio
from typing import Any

import pytest

from node.edge.framing import Messages
from node.grpc.outbox import GrpcOutbox
from tests.patience import PATIENCE_S


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def outbox_overflowed(self) -> None:
        self.told.append("overflowed")

    def outbox_flushed(self) -> None:
        self.told.append("flushed")


class Stream:
    """An outbox of ten bytes, and what grpc has taken of it."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.outbox = GrpcOutbox(10, self.owner)
        self.taken: list[bytes] = []
        self.room = asyncio.Event()
        self.room.set()

    async def take(self, message: bytes) -> None:
        await self.room.wait()
        self.taken.append(message)


def in_loop(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test(), PATIENCE_S))


def test_messages_go_out_one_by_one_in_order_and_then_its_owner_is_told() -> None:
    """Several written together are several messages; an empty one is one too."""

    async def test() -> None:
        stream = Stream()
        stream.outbox.write(b"1")
        stream.outbox.write(Messages.of((b"2", b"3")))
        stream.outbox.write(b"")
        stream.outbox.finish(b"bye")
        stream.outbox.write(b"too late")
        await stream.outbox.hand_on(stream.take)
        assert stream.taken == [b"1", b"2", b"3", b"", b"bye"]
        assert stream.owner.told == ["flushed"]
        assert stream.outbox.bytes_waiting <= 0

    in_loop(test)


def test_it_waits_for_what_is_written_later() -> None:
    """A task that has handed on everything sleeps until there is more."""

    async def test() -> None:
        stream = Stream()
        task = asyncio.create_task(stream.outbox.hand_on(stream.take))
        for message in (b"1", b"2"):
            await asyncio.sleep(0)
            stream.outbox.write(message)
        await asyncio.sleep(0)
        stream.outbox.finish()
        await task
        assert stream.taken == [b"1", b"2"]

    in_loop(test)


def test_too_much_waiting_is_told_once_and_dropped() -> None:
    """Behind a first write of any size ten bytes may wait; what is written afterwards is nothing."""

    async def test() -> None:
        stream = Stream()
        stream.room.clear()
        stream.outbox.write(b"x" * 100)
        task = asyncio.create_task(stream.outbox.hand_on(stream.take))
        await asyncio.sleep(0)
        for _ in range(10):
            stream.outbox.write(b"y")
        assert stream.owner.told == []
        stream.outbox.write(b"z")
        stream.outbox.write(b"z" * 100)
        assert stream.owner.told == ["overflowed"]
        assert stream.outbox.bytes_waiting == 0
        stream.room.set()
        await task
        assert stream.taken == [b"x" * 100]

    in_loop(test)


@pytest.mark.parametrize("goodbye", [None, b"b" * 50])
def test_a_goodbye_is_not_counted(goodbye: bytes | None) -> None:
    """However much waits, the last words follow it."""

    async def test() -> None:
        stream = Stream()
        stream.outbox.write(b"1")
        stream.outbox.write(b"x" * 10)
        stream.outbox.finish(goodbye)
        await stream.outbox.hand_on(stream.take)
        assert stream.taken == [b"1", b"x" * 10, *([goodbye] if goodbye else [])]

    in_loop(test)


def test_an_abort_ends_the_task_that_waits() -> None:
    """Nothing more is handed on, and nobody is told."""

    async def test() -> None:
        stream = Stream()
        task = asyncio.create_task(stream.outbox.hand_on(stream.take))
        await asyncio.sleep(0)
        stream.outbox.abort()
        stream.outbox.write(b"1")
        await task
        assert (stream.taken, stream.owner.told) == ([], [])

    in_loop(test)
