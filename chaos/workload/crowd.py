"""The sockets and timers of thousands of clients, in one task.

Waking a task per client and message would cost more than everything else here. So all sockets are in one
epoll object of ours, trio waits for that alone, and clients are called, not woken.
"""

import heapq
import select
import time
from collections.abc import Callable
from itertools import count
from typing import Protocol

import trio

# So many sockets are served before others of this process have their turn.
_EVENTS = 256
_WAIT_MAX_S = 0.5

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Member(Protocol):
    """Whoever has a socket in the crowd."""

    def ready(self, events: int) -> None:
        """Its socket can be read or written, or broke. Must not block."""


class Crowd:
    """Serves sockets and timers until cancelled."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._members: dict[int, Member] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    @staticmethod
    def now() -> float:
        """The clock of histories, seconds."""
        return time.monotonic()

    def watch(self, descriptor: int, member: Member, events: int) -> None:
        """Call `member.ready` when one of the events happens."""
        self._epoll.register(descriptor, events)
        self._members[descriptor] = member

    def change(self, descriptor: int, events: int) -> None:
        """Wait for other events; 0 for none but the breaking of the connection."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Call no more for a descriptor, which is still open."""
        if self._members.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def at(self, due: float, call: Callable[[], None]) -> None:
        """Make a call at a time of `now`; there is no way to take it back."""
        heapq.heappush(self._timers, (due, next(self._numbers), call))

    async def run(self) -> None:
        """Serve until cancelled."""
        descriptor = self._epoll.fileno()
        while True:
            self._fire()
            if not self._serve():
                next_s = self._timers[0][0] - self.now() if self._timers else _WAIT_MAX_S
                with trio.move_on_after(max(0.0, min(_WAIT_MAX_S, next_s))):
                    await trio.lowlevel.wait_readable(descriptor)
            else:
                await trio.lowlevel.checkpoint()

    def _fire(self) -> None:
        now = self.now()
        timers = self._timers
        while timers and timers[0][0] <= now:
            heapq.heappop(timers)[2]()

    def _serve(self) -> int:
        events = self._epoll.poll(0, _EVENTS)
        members = self._members
        for descriptor, happened in events:
            # One of the calls before may have closed this one.
            member = members.get(descriptor)
            if member is not None:
                member.ready(happened)
        return len(events)
