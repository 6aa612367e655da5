"""Reordered: publications came to a client in another order than they have.

On a history channel that is the order of offsets, between two signals; and what one publisher sent after the
answer to another has the higher offset. On a plain channel it is the order of each publisher. What had no
answer may still be on its way when the next one is sent, so it has no place in that order. Nodes have
connections of their own to the broker: a publisher that goes on to another node keeps the order only once
the first one has delivered, and as long as nothing is broken.
"""

import math

from chaos.checkers.stretches import stretches
from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude, delivery_case
from chaos.recorded import Disturbance, Publication, Recorded, Stream, within

NAME = "reordered"
_ANY_NODE = ""


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Nothing older follows something newer; a repetition is not judged here."""
    cases = Cases(_accepted(recorded))
    disturbances = recorded.disturbances(settle_s=bounds.settle_s)
    deliveries = 0
    for stream in recorded.judged():
        deliveries += len(stream.numbers)
        for stretch in stretches(stream):
            _by_offset(recorded, stream, stretch.first, stretch.last, cases)
        if not recorded.keeps_history(stream.channel):
            _by_publisher(recorded, bounds, stream, disturbances, cases)
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


def _by_publisher(
    recorded: Recorded, bounds: Bounds, stream: Stream, disturbances: list[Disturbance], cases: Cases
) -> None:
    newest: dict[tuple[str, str], Publication] = {}
    seen: set[int] = set()
    for at, number in enumerate(stream.numbers):
        publication = recorded.publications[number]
        invoked, publisher = publication.invoked, publication.publisher
        if number in seen or invoked is None:
            continue
        seen.add(number)
        delivered = _delivered(publication, bounds, disturbances)
        for node, settled in ((publication.node, publication.ended), (_ANY_NODE, delivered)):
            before = newest.setdefault((publisher, node), publication)
            later = before.invoked or 0.0
            if invoked >= later:
                newest[publisher, node] = publication
            elif publication.accepted and settled <= later:
                what = f"came after the publisher's later {before.id}"
                cases.add(delivery_case(recorded, stream, at, what))
                break


def _delivered(publication: Publication, bounds: Bounds, disturbances: list[Disturbance]) -> float:
    """From when a plain publication is no longer on its way to anybody; infinity if a fault may hold it."""
    settled = publication.ended + bounds.plain_settle_s
    disturbed = within(publication.invoked or 0.0, disturbances) or within(settled, disturbances)
    return math.inf if disturbed else settled


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
