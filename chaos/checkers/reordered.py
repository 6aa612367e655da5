"""Reordered: publications came to a client in another order than they have.

On a history channel that is the order of offsets, between two signals; and what one publisher sent after the
answer to another has the higher offset. On a plain channel it is the order of each publisher through each
node, since nodes have connections of their own to the broker; what had no answer may still be on its way when
the next one is sent, so it has no place in that order.
"""

from chaos.checkers.stretches import stretches
from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude, delivery_case
from chaos.recorded import Publication, Recorded, Stream

NAME = "reordered"


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Nothing older follows something newer; a repetition is not judged here."""
    cases = Cases(_accepted(recorded))
    deliveries = 0
    for stream in recorded.judged():
        deliveries += len(stream.numbers)
        found = stretches(stream)
        for stretch in found:
            _by_offset(recorded, stream, stretch.first, stretch.last, cases)
        if not found:
            _by_publisher(recorded, stream, cases)
    return conclude(NAME, recorded, bounds, cases, judged=deliveries, of="deliveries")


def _by_offset(recorded: Recorded, stream: Stream, first: int, last: int, cases: Cases) -> None:
    offsets = stream.offsets[first:last]
    if all(map(int.__le__, offsets, offsets[1:])):
        return
    seen: set[int] = set()
    highest = -1
    for at in range(first, last):
        number, offset = stream.numbers[at], stream.offsets[at]
        if number not in seen and offset < highest:
            cases.add(delivery_case(recorded, stream, at, f"came after offset {highest}"))
        seen.add(number)
        highest = max(highest, offset)


def _by_publisher(recorded: Recorded, stream: Stream, cases: Cases) -> None:
    newest: dict[tuple[str, str], Publication] = {}
    seen: set[int] = set()
    for at, number in enumerate(stream.numbers):
        publication = recorded.publications[number]
        if number in seen or publication.invoked is None:
            continue
        seen.add(number)
        way = publication.publisher, publication.node
        before = newest.setdefault(way, publication)
        later = before.invoked or 0.0
        if publication.invoked < later:
            if not publication.accepted or publication.ended > later:
                continue
            cases.add(delivery_case(recorded, stream, at, f"came after the publisher's later {before.id}"))
        else:
            newest[way] = publication


def _accepted(recorded: Recorded) -> list[Case]:
    """Publications whose place is before one that was accepted before they were sent."""
    newest: dict[tuple[str, str, str], Publication] = {}
    cases = []
    sent = [
        each for each in recorded.publications if each.accepted and each.epoch and each.invoked is not None
    ]
    for publication in sorted(sent, key=lambda each: each.invoked or 0.0):
        place = publication.publisher, publication.channel, publication.epoch
        before = newest.get(place)
        if before is None or publication.offset > before.offset:
            newest[place] = publication
        elif before.ended <= (publication.invoked or 0.0):
            cases.append(
                Case(
                    f"accepted below offset {before.offset} of {before.id}, which had been answered before",
                    publication.ended - recorded.zero,
                    "",
                    publication.channel,
                    publication.id,
                    publication.offset,
                    publication.node,
                )
            )
    return cases
