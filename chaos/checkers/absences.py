"""When a client was not subscribed, and whose doing that was."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from chaos.checkers.stretches import LEFT
from chaos.history import Session, Subscribed
from chaos.recorded import Stream


class Absence(NamedTuple):
    """From when a client lost its session until it was subscribed again, seconds.

    One that begins with the client's own wish ends where it is refused: from there on others make it wait.
    """

    began: float
    ended: float
    own: bool  # it left by itself: nobody else made it wait


class Refused(NamedTuple):
    """A client on its way back was turned away, or cut off again; times in seconds."""

    away: float  # since when it had not been subscribed
    t: float


def absences(stream: Stream) -> Iterator[Absence]:
    """Those that ended, by time."""
    closed: Session | None = None
    for _, mark in stream.marks:
        if isinstance(mark, Subscribed):
            if closed:
                yield Absence(closed.t, mark.t, closed.code == LEFT)
            closed = None
        elif isinstance(mark, Session) and mark.phase == "closed":
            if closed is None:
                closed = mark
            elif closed.code == LEFT and mark.code != LEFT:
                yield Absence(closed.t, mark.t, own=True)
                closed = mark


def refusals(stream: Stream) -> Iterator[Refused]:
    """Every one, by time."""
    away: float | None = None
    for _, mark in stream.marks:
        if isinstance(mark, Subscribed):
            away = None
        elif isinstance(mark, Session) and mark.phase == "closed":
            if away is None:
                away = mark.t
            elif mark.code != LEFT:
                yield Refused(away, mark.t)


def away_s(found: Iterable[Absence], began: float, ended: float) -> float:
    """How long a client was away between two times, seconds."""
    return sum(max(0.0, min(one.ended, ended) - max(one.began, began)) for one in found)
