"""The bounded queue of one gRPC stream, and what happens when it is full.

grpc takes one message at a time, and takes none while the client's window is closed: what it has not taken
waits here. `write` neither blocks nor raises, so that a fan-out can walk over many of them; a task per stream
hands on what waits.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from node.edge.framing import Messages
from node.grpc.loop import Signal


class OutboxOwner(Protocol):
    """Who is told what became of an outbox, once."""

    def outbox_overflowed(self) -> None:
        """More than `bytes_max` bytes wait: the client is too slow. What waited was dropped."""

    def outbox_flushed(self) -> None:
        """Everything written before `finish` was handed to grpc."""


class GrpcOutbox:
    """What waits for one stream.

    Args:
        bytes_max: what may wait behind the write that began to wait, bytes.
        owner: told what became of it.

    Attributes:
        bytes_waiting: written and not yet taken by grpc.
    """

    __slots__ = ("_bytes_max", "_finishing", "_limit", "_owner", "_signal", "_waiting", "bytes_waiting")

    def __init__(self, bytes_max: int, owner: OutboxOwner) -> None:
        self._bytes_max = bytes_max
        self._limit = 0
        self._owner: OutboxOwner | None = owner
        self._waiting: deque[bytes] = deque()
        self._finishing = False
        self._signal = Signal()
        self.bytes_waiting = 0

    def write(self, data: bytes) -> None:
        """Keep for the stream; does nothing once finished or aborted.

        Args:
            data: one message, or Messages; may be shared with other streams.
        """
        if self._owner is None or self._finishing:
            return
        if not self.bytes_waiting:
            # One large write, such as a recovery, is no sign of a slow client by itself.
            self._limit = len(data) + self._bytes_max
        self.bytes_waiting += len(data)
        if self.bytes_waiting > self._limit:
            owner = self._owner
            self.abort()
            owner.outbox_overflowed()
            return
        self._waiting.append(data)
        self._signal.set()

    def finish(self, last: bytes | None = None) -> None:
        """Hand on what waits, then tell the owner; later writes are dropped.

        Args:
            last: a goodbye, not subject to the limit; None for none.
        """
        if self._owner is None or self._finishing:
            return
        self._finishing = True
        if last is not None:
            self._waiting.append(last)
        self._signal.set()

    def abort(self) -> None:
        """Forget what waits and drop later writes; the owner is not told anything any more."""
        self._owner = None
        self._waiting.clear()
        self.bytes_waiting = 0
        self._signal.set()

    async def hand_on(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Give every message to grpc, in order, until it was the last one.

        Ends after an abort too, when grpc has done with the message that it was given.

        Args:
            take: one message; returns when there is room for another one.
        """
        waiting = self._waiting
        while True:
            while waiting:
                data = waiting.popleft()
                for message in data.messages if isinstance(data, Messages) else (data,):
                    await take(message)
                # After an abort nothing is counted any more.
                if self._owner is not None:
                    self.bytes_waiting -= len(data)
            if self._finishing or self._owner is None:
                break
            await self._signal.wait()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.outbox_flushed()
