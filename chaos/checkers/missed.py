"""Which publications of history channels are missing at clients that were owed them, and how.

What exists is known twice: from publishers, who were told that it was accepted, and from any client that got
it, since only what is stored has an offset. A publication whose acknowledgement got lost is missing only
where the second says so, and then only between others: that is a gap, not a loss.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Literal, NamedTuple

from chaos.checkers.stretches import Stretch, stretches
from chaos.checkers.verdict import Case
from chaos.history import Subscribed
from chaos.recorded import Publication, Recorded, Stream

Where = Literal["prefix", "middle", "postfix"]


class Missed(NamedTuple):
    """A publication that a client was owed and never got.

    Attributes:
        stream: whose and where.
        publication: which.
        offset: its place.
        where: before the first, between two, or after the last delivery of its stretch.
        recovery: the answer that claimed to leave nothing out and did leave this out, if one did.
    """

    stream: Stream
    publication: Publication
    offset: int
    where: Where
    recovery: Subscribed | None

    def case(self, recorded: Recorded, what: str) -> Case:
        """As evidence."""
        t = self.publication.ended
        client = self.stream.client
        return Case(
            what,
            t - recorded.zero,
            client,
            self.stream.channel,
            self.publication.id,
            self.offset,
            recorded.node_of(client, t),
        )


class Survey(NamedTuple):
    """What was looked at.

    Attributes:
        owed: how many deliveries were owed in all.
        stretches: how many stretches there were.
        recoveries: how many answers to a position did not say `recovered: false`.
        endless: how many streams nobody saw the end of.
        missed: what is missing.
    """

    owed: int
    stretches: int
    recoveries: int
    endless: int
    missed: list[Missed]


class _Stored:
    """What a channel's stream holds, by offset.

    Args:
        recorded: the history.
        found: the numbers of publications by their offsets.
    """

    __slots__ = ("_lowest", "_sent", "numbers", "offsets")

    def __init__(self, recorded: Recorded, found: dict[int, int]) -> None:
        self.offsets = sorted(found)
        self.numbers = [found[offset] for offset in self.offsets]
        by_time = sorted((recorded.publications[found[offset]].invoked or 0.0, offset) for offset in found)
        self._sent = [sent for sent, _ in by_time]
        # The lowest offset from each one on.
        self._lowest = [*accumulate((offset for _, offset in reversed(by_time)), min)][::-1]

    def owed_from(self, stretch: Stretch) -> int:
        """The index of the first that a stretch owes: above its position, and above any that it may have.

        What is sent after an answer is stored behind every position that can have been answered.
        """
        low = bisect_right(self.offsets, stretch.after)
        later = bisect_right(self._sent, stretch.began)
        return min(low, bisect_left(self.offsets, self._lowest[later])) if later < len(self._sent) else low


def survey(recorded: Recorded) -> Survey:
    """Compares what every client was owed with what it got."""
    read = [(stream, stretches(stream)) for stream in recorded.judged()]
    stored = _stored(recorded, read)
    owed = recoveries = endless = 0
    missed: list[Missed] = []
    for stream, found in read:
        delivered = set(stream.numbers)
        for stretch in found:
            recoveries += len(stretch.recoveries)
            endless += stretch.end == "unknown"
            if stretch.end == "final":
                missed += _elsewhere(recorded, stream, stretch, stored, delivered)
            held = stored.get((stream.channel, stretch.epoch))
            if held is None:
                continue
            low, high = _range(held, stream, stretch)
            owed += max(0, high - low)
            if not delivered.issuperset(held.numbers[low:high]):
                missed += _missed(recorded, stream, stretch, held, low, high, delivered)
    return Survey(owed, sum(len(found) for _, found in read), recoveries, endless, missed)


def _stored(recorded: Recorded, read: list[tuple[Stream, list[Stretch]]]) -> dict[tuple[str, str], _Stored]:
    found: dict[tuple[str, str], dict[int, int]] = {}
    open_ = set()
    for publication in recorded.publications:
        if publication.accepted and publication.epoch:
            found.setdefault((publication.channel, publication.epoch), {})[publication.offset] = (
                publication.number
            )
        elif publication.outcome in ("unknown", "invoke") and publication.invoked is not None:
            open_.add(publication.number)
    for stream, stretched in read if open_ else ():
        for stretch in stretched:
            held = found.setdefault((stream.channel, stretch.epoch), {})
            for at in range(stretch.first, stretch.last):
                if stream.numbers[at] in open_:
                    held.setdefault(stream.offsets[at], stream.numbers[at])
    return {place: _Stored(recorded, held) for place, held in found.items()}


def _elsewhere(
    recorded: Recorded,
    stream: Stream,
    stretch: Stretch,
    stored: dict[tuple[str, str], _Stored],
    delivered: set[int],
) -> Iterator[Missed]:
    """What went into the channel in another epoch, though the client is served in this one to the end.

    After a loss of data nothing is accepted in the old epoch any more: who is in the new one since then lacks
    nothing of it, and who is still in the old one should have been told.
    """
    for (channel, epoch), held in stored.items():
        if channel != stream.channel or epoch == stretch.epoch:
            continue
        for offset, number in zip(held.offsets, held.numbers, strict=True):
            publication = recorded.publications[number]
            sent = publication.invoked
            if publication.accepted and sent and sent > stretch.began and number not in delivered:
                yield Missed(stream, publication, offset, "postfix", None)


def _range(held: _Stored, stream: Stream, stretch: Stretch) -> tuple[int, int]:
    """What is owed, as indexes: to the end of the stream if the run ended, else as far as the client got.

    That is its last delivery, or where an answer to a recovery said that it stands.
    """
    low = held.owed_from(stretch)
    if stretch.end == "final":
        return low, len(held.offsets)
    delivered = max(stream.offsets[stretch.first : stretch.last], default=-1)
    answered = max((recovery.offset for recovery in stretch.recoveries), default=-1)
    return low, bisect_right(held.offsets, max(delivered, answered))


def _missed(
    recorded: Recorded,
    stream: Stream,
    stretch: Stretch,
    held: _Stored,
    low: int,
    high: int,
    delivered: set[int],
) -> Iterator[Missed]:
    got = stream.offsets[stretch.first : stretch.last]
    lowest, highest = min(got, default=-1), max(got, default=-1)
    for at in range(low, high):
        if held.numbers[at] in delivered:
            continue
        publication, offset = recorded.publications[held.numbers[at]], held.offsets[at]
        if not got or offset > highest:
            where: Where = "postfix"
            if not publication.accepted:
                continue  # nothing shows that it should have come here before the end
        else:
            where = "prefix" if offset < lowest else "middle"
        yield Missed(stream, publication, offset, where, _blamed(stretch, publication, offset))


def _blamed(stretch: Stretch, publication: Publication, offset: int) -> Subscribed | None:
    """The first recovery from below this offset that was answered when the publication was there already."""
    for recovery in stretch.recoveries:
        if recovery.asked and recovery.asked.offset < offset and publication.ended < recovery.t:
            return recovery
    return None
