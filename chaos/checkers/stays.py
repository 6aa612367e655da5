"""Which client was on which node from when to when, by what clients saw."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from chaos.history import Session
from chaos.recorded import Recorded


class Stay(NamedTuple):
    """One session on one node.

    Attributes:
        node: its name.
        began: when it was welcomed, seconds.
        closed: the end, None if there was none.
    """

    node: str
    began: float
    closed: Session | None

    @property
    def ended(self) -> float:
        """When it ended, infinity if it never did."""
        return self.closed.t if self.closed else float("inf")


def stays_of(recorded: Recorded) -> list[Stay]:
    """Every session that was welcomed, client by client."""
    stays = []
    for sessions in recorded.sessions.values():
        welcomed: Session | None = None
        for session in sessions:
            if session.phase == "connected":
                welcomed = session
            elif session.phase == "closed" and welcomed:
                stays.append(Stay(welcomed.node, welcomed.t, session))
                welcomed = None
        if welcomed:
            stays.append(Stay(welcomed.node, welcomed.t, None))
    return stays


def most_within(window_s: float, times: Sequence[float]) -> tuple[int, float]:
    """The most that happened within a window, and when that began; times rise."""
    most, at = 0, 0.0
    for index, t in enumerate(times):
        count = bisect_right(times, t + window_s) - index
        if count > most:
            most, at = count, t
    return most, at
