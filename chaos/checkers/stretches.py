"""What a client is owed on a history channel: stretches in which the cluster promised to leave nothing out.

A stretch begins at a position: where a new subscription started, or where the client said it had been. It
goes on over every recovery that the cluster said was complete, or of which it said nothing: nobody told the
client that it was not. It ends when the client is told that something is missing (`recovered: false`,
unsubscribed, disconnect 3010), when it leaves for good, or with the run.
"""

from typing import Literal, NamedTuple

from chaos.history import Session, Subscribed, Unsubscribed
from chaos.recorded import Stream

INSUFFICIENT_STATE = 3010
LEFT = -1

How = Literal["signalled", "left", "final", "unknown"]


class Stretch(NamedTuple):
    """A stretch of one stream.

    Attributes:
        began: when the answer came that it begins with, seconds.
        epoch: of the channel's stream.
        after: everything above this offset is owed.
        first: the index of its first delivery.
        last: the index after its last.
        end: signalled (the client was told), left (by its own wish), final (the run ended, and everything
            accepted is owed), unknown (nobody saw the end).
        recoveries: the answers to a position that did not say `recovered: false`.
    """

    began: float
    epoch: str
    after: int
    first: int
    last: int
    end: How
    recoveries: tuple[Subscribed, ...]


class _Open:
    """The stretch that is being read."""

    def __init__(self, began: float, epoch: str, after: int, first: int) -> None:
        self.began = began
        self.epoch = epoch
        self.after = after
        self.first = first
        self.recoveries: list[Subscribed] = []

    def closed(self, last: int, end: How) -> Stretch:
        return Stretch(self.began, self.epoch, self.after, self.first, last, end, tuple(self.recoveries))


def stretches(stream: Stream) -> list[Stretch]:
    """The stretches of a stream, in order; none on a plain channel."""
    found: list[Stretch] = []
    current: _Open | None = None
    away: How = "unknown"  # how it would end if nothing more came
    for at, mark in stream.marks:
        if isinstance(mark, Subscribed):
            if not mark.epoch:
                continue
            away = "unknown"
            recovered = mark.asked is not None and mark.recovered is not False
            if recovered and current and current.epoch == mark.epoch:
                current.recoveries.append(mark)
                continue
            if current:
                found.append(current.closed(at, "left" if mark.asked is None else "signalled"))
            after = mark.asked.offset if recovered and mark.asked else mark.offset
            current = _Open(mark.t, mark.epoch, after, at)
            if recovered:
                current.recoveries.append(mark)
        elif current and _signals(mark):
            found.append(current.closed(at, "signalled"))
            current = None
        elif isinstance(mark, Session) and mark.phase != "closed":
            away = "unknown"
        elif mark.code == LEFT:
            away = "left"
    if current:
        found.append(current.closed(len(stream.times), "final" if stream.final else away))
    return found


def _signals(mark: Session | Unsubscribed) -> bool:
    """Whether the client learns by it that its position is worth nothing any more."""
    if isinstance(mark, Unsubscribed):
        return mark.code != LEFT
    return mark.phase == "closed" and mark.code == INSUFFICIENT_STATE
