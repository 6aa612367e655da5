"""The bounded queue of one client, and what happens when it is full.

Every byte for a client passes its outbox, in the order of the calls. While nothing waits, `write` gives
the bytes to the socket at once; what the socket does not take waits here, and only then a writer task
exists. Too many waiting bytes end the client, never the publisher: `write` neither blocks nor raises, so a
fan-out can walk over thousands of outboxes.
"""

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import trio

# Chunks handed to the kernel in one call; far below IOV_MAX.
_CHUNKS_PER_SEND = 64


class OutboxOwner(Protocol):
    """Who is told what became of an outbox, once each, from inside `write` or from the writer."""

    def outbox_overflowed(self) -> None:
        """More than `bytes_max` bytes wait: the client is too slow.

        What waited is dropped. A goodbye given to `finish` from here is still sent, at the end of the
        frame that may be half out; without one the outbox is aborted.
        """

    def outbox_broken(self, error: Exception) -> None:
        """The connection is dead: nothing will ever be written again."""

    def outbox_flushed(self) -> None:
        """Everything written before `finish` has been handed to the kernel."""


@dataclass(frozen=True, slots=True)
class Writers:
    """What all outboxes of a node share.

    Attributes:
        bytes_max: what may wait for one client behind the write that began to wait, bytes.
        nursery: where writer tasks run; it outlives every connection.
    """

    bytes_max: int
    nursery: trio.Nursery


class Outbox:
    """What waits for one client, straight on its non-blocking socket, whose reader is somebody else's.

    Args:
        sock: where to.
        writers: the node's.
        owner: told what became of the outbox.

    Attributes:
        bytes_waiting: written and not yet taken by the kernel.
    """

    __slots__ = ("_finishing", "_limit", "_owner", "_send", "_sock", "_waiting", "_writers", "bytes_waiting")

    def __init__(self, sock: socket.socket, writers: Writers, owner: OutboxOwner) -> None:
        self._sock = sock
        self._send: Callable[[bytes], int] = sock.send
        self._writers = writers
        self._owner: OutboxOwner | None = owner
        # None: nothing waits and no writer runs. A deque: a writer owns the way to the client.
        self._waiting: deque[bytes] | None = None
        self._limit = 0
        self._finishing = False
        self.bytes_waiting = 0

    def write(self, data: bytes) -> None:
        """Send now what can be sent, keep the rest; does nothing once finished, broken or aborted.

        One system call when nothing waits, none otherwise.

        Args:
            data: whole frames; may be shared with other clients, so it is never changed.
        """
        if self._waiting is not None:
            if not self._finishing:
                self._queue(data)
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken(error)
            return
        if sent < len(data):
            self._queue(data[sent:])

    def finish(self, last: bytes = b"") -> None:
        """Send `last` after everything that waits, then tell the owner; later writes are dropped.

        Args:
            last: a goodbye; not subject to the limit.
        """
        if self._owner is None or self._finishing:
            return
        if last and self._waiting is None:
            self.write(last)
            last = b""
        self._finishing = True
        if last:
            self._queue(last)
        if self._waiting is None:
            self._flushed()

    def abort(self) -> None:
        """Forget what waits and drop later writes; the owner is not told anything any more."""
        self._owner = None
        self._waiting = None
        self.bytes_waiting = 0
        # `len` takes bytes and says that all of them were sent: a closed outbox costs `write` no check.
        self._send = len

    def _queue(self, data: bytes) -> None:
        self.bytes_waiting += len(data)
        if self._waiting is None:
            self._waiting = deque((data,))
            # One large write, such as a recovery, is no sign of a slow client by itself.
            self._limit = len(data) + self._writers.bytes_max
            self._writers.nursery.start_soon(self._run_writer)
        else:
            self._waiting.append(data)
            if self.bytes_waiting > self._limit and not self._finishing:
                self._overflow(self._waiting)

    def _overflow(self, waiting: deque[bytes]) -> None:
        # The first chunk stays, since part of it may be out, and a goodbye can follow only a whole frame.
        first = waiting[0]
        waiting.clear()
        waiting.append(first)
        self.bytes_waiting = len(first)
        if self._owner is not None:
            self._owner.outbox_overflowed()
        if not self._finishing:
            self.abort()

    async def _run_writer(self) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        try:
            await self._drain(waiting)
        except (OSError, trio.ClosedResourceError) as error:
            self._broken(error)
            return
        # After an abort another deque, or none, is in force: this writer has nothing to say.
        if self._waiting is waiting:
            self._waiting = None
            if self._finishing:
                self._flushed()

    async def _drain(self, waiting: deque[bytes]) -> None:
        while waiting:
            await trio.lowlevel.wait_writable(self._sock)
            if self._waiting is not waiting:
                # Aborted meanwhile: nothing is to be sent any more, and nothing to be counted.
                return
            try:
                sent = self._sock.sendmsg(islice(waiting, _CHUNKS_PER_SEND))
            except BlockingIOError:
                continue
            self.bytes_waiting -= sent
            while sent:
                chunk = waiting.popleft()
                if sent < len(chunk):
                    waiting.appendleft(chunk[sent:])
                    break
                sent -= len(chunk)

    def _flushed(self) -> None:
        owner = self._owner
        self.abort()
        if owner is not None:
            owner.outbox_flushed()

    def _broken(self, error: Exception) -> None:
        owner = self._owner
        self.abort()
        if owner is not None:
            owner.outbox_broken(error)
