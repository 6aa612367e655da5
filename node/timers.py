"""One clock hand for all sessions: pings, pong deadlines, token expiry, closing deadlines.

A session has at most one armed moment. The hand moves every `tick_s` and wakes what is due, so an idle
client costs no task and no timer of its own.
"""

from math import ceil
from typing import Protocol

import trio


class Timed(Protocol):
    """Something that is woken at its armed moment.

    Attributes:
        due: the armed tick, 0 for none; belongs to Timers.
    """

    due: int

    def tick(self, now: float) -> None:
        """The armed moment has come; arms the next one if there is one. Never blocks or raises."""


class Timers:
    """The shared hand.

    Args:
        tick_s: how far the hand moves at once, seconds; nothing is woken early, and at most this late.
    """

    def __init__(self, tick_s: float = 0.1) -> None:
        self._tick_s = tick_s
        self._due: dict[int, dict[Timed, None]] = {}
        self._passed = 0

    def arm(self, item: Timed, at: float) -> None:
        """Wake an item at a moment, instead of the one it was armed for.

        Args:
            item: who is woken.
            at: trio's clock, seconds; the past means the next tick.
        """
        self.disarm(item)
        item.due = max(ceil(at / self._tick_s), self._passed + 1)
        self._due.setdefault(item.due, {})[item] = None

    def disarm(self, item: Timed) -> None:
        """Forget an item's moment."""
        if item.due:
            waiting = self._due.get(item.due)
            if waiting is not None:
                waiting.pop(item, None)
            item.due = 0

    async def run(self) -> None:
        """Move the hand for ever."""
        self._passed = int(trio.current_time() / self._tick_s)
        while True:
            await trio.sleep_until((self._passed + 1) * self._tick_s)
            now = trio.current_time()
            # A loop that stood still for a while wakes everything that became due meanwhile.
            while (self._passed + 1) * self._tick_s <= now:
                self._passed += 1
                for item in self._due.pop(self._passed, ()):
                    # What one is woken for may disarm another, or arm it for later.
                    if item.due == self._passed:
                        item.due = 0
                        item.tick(now)
