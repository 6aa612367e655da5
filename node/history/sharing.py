"""Reads that are shared by those who ask for the same: a crowd costs two of them, whoever it is made of.

Nobody is given what was read before they asked: a read that is under way may be older than what they know. So
who comes meanwhile waits for the next one, together with all others who do.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import trio

from node.broker.interface import BrokerError, BrokerUnavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Read(Generic[V]):
    """One read that has not begun yet, or whose answer is still waited for."""

    __slots__ = ("done", "failure", "value", "waiting")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.waiting = 0
        self.value: V | None = None
        self.failure: BrokerError | None = BrokerUnavailable("the node is stopping")


class SharedReads(Generic[K, V]):
    """See the module. Of each key one read is under way at most.

    Args:
        read: makes one; what it raises other than BrokerError ends the nursery.
        start: starts a task.
        at_once: reads of different keys at the same time.
    """

    def __init__(
        self, read: Callable[[K], Awaitable[V]], start: Callable[..., None], *, at_once: int
    ) -> None:
        self._make = read
        self._start = start
        self._limiter = trio.CapacityLimiter(at_once)
        self._next: dict[K, _Read[V]] = {}
        self._running: set[K] = set()

    async def get(self, key: K) -> V:
        """What a read finds that begins after this call; cancelled, it costs the others nothing.

        Raises:
            BrokerError: what the read raised.
        """
        if key not in self._running:
            self._start(self._run, key)
            self._running.add(key)
        read = self._next.get(key)
        if read is None:
            read = self._next[key] = _Read()
        read.waiting += 1
        try:
            await read.done.wait()
        finally:
            read.waiting -= 1
        if read.failure is not None:
            # One exception object per waiter: a shared one would collect all their tracebacks.
            raise type(read.failure)(*read.failure.args)
        return read.value  # type: ignore[return-value]

    async def _run(self, key: K) -> None:
        try:
            while key in self._next:
                async with self._limiter:
                    # Taken late: whoever came while this waited for its turn shares the read.
                    read = self._next.pop(key)
                    if read.waiting:
                        await self._fulfil(key, read)
        finally:
            self._running.discard(key)
            if (left := self._next.pop(key, None)) is not None:
                left.done.set()

    async def _fulfil(self, key: K, read: _Read[V]) -> None:
        try:
            read.value = await self._make(key)
            read.failure = None
        except BrokerError as error:
            read.failure = error
        finally:
            read.done.set()
