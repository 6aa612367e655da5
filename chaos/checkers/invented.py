"""Invented: what a client got was never published, not there, not yet, or is something else elsewhere."""

import math
import operator

from chaos.checkers.stretches import stretches
from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude, delivery_case
from chaos.recorded import Publication, Recorded, Stream

NAME = "invented"


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Everything delivered was sent, to this channel, before, and has one place on which all agree."""
    cases = Cases()
    deliveries = 0
    sent = [-math.inf if each.invoked is None else each.invoked for each in recorded.publications]
    wrong: dict[tuple[str, int], str] = {}
    for stream in recorded.judged():
        deliveries += len(stream.numbers)
        for number in set(stream.numbers):
            publication = recorded.publications[number]
            why = _why(publication, stream.channel)
            if why and not (publication.invoked is None and recorded.cut_short):
                wrong[stream.channel, number] = why
        _collect(recorded, stream, sent, wrong, cases)
    for case in _places(recorded):
        cases.add(case)
    return conclude(NAME, recorded, bounds, cases, judged=deliveries, of="deliveries")


def _why(publication: Publication, channel: str) -> str:
    if publication.invoked is None:
        return "nobody published it"
    if publication.channel != channel:
        return f"was published to {publication.channel}"
    if publication.outcome == "fail":
        return "its publisher was told that it surely failed"
    return ""


def _collect(
    recorded: Recorded, stream: Stream, sent: list[float], wrong: dict[tuple[str, int], str], cases: Cases
) -> None:
    times = map(sent.__getitem__, stream.numbers)
    if not wrong and not any(map(operator.lt, stream.times, times)):
        return  # nearly always, and a loop over millions would cost seconds
    for at, number in enumerate(stream.numbers):
        why = wrong.get((stream.channel, number))
        if not why and stream.times[at] < sent[number]:
            why = f"came {sent[number] - stream.times[at]:.3f} s before it was sent"
        if why:
            cases.add(delivery_case(recorded, stream, at, why))


def _places(recorded: Recorded) -> list[Case]:
    """Deliveries whose offset belongs to another publication, or is another than the publisher was told."""
    held: dict[tuple[str, str], dict[int, int]] = {}
    places: dict[int, tuple[str, int]] = {}
    for each in recorded.publications:
        if each.accepted and each.epoch:
            held.setdefault((each.channel, each.epoch), {})[each.offset] = each.number
            places[each.number] = each.epoch, each.offset
    cases = []
    for stream in recorded.judged():
        for stretch in stretches(stream):
            here = held.setdefault((stream.channel, stretch.epoch), {})
            span = slice(stretch.first, stretch.last)
            if set(zip(stream.offsets[span], stream.numbers[span], strict=True)) <= here.items():
                continue
            for at in range(stretch.first, stretch.last):
                number, offset = stream.numbers[at], stream.offsets[at]
                holder = here.setdefault(offset, number)
                if holder != number:
                    name = recorded.publications[holder].id
                    cases.append(delivery_case(recorded, stream, at, f"at this offset others have {name}"))
                elif why := _misplaced(places.get(number), (stretch.epoch, offset)):
                    cases.append(delivery_case(recorded, stream, at, why))
    return cases


def _misplaced(told: tuple[str, int] | None, came: tuple[str, int]) -> str:
    """Why it is not where its publisher was told; that neither is alike means that it is there twice.

    That is no invention: the stream may have lost the first when its publisher tried again.
    """
    if told is None or told == came:
        return ""
    if told[0] == came[0]:
        return f"its publisher was told offset {told[1]}"
    return f"its publisher was told epoch {told[0]}, not {came[0]}" if told[1] == came[1] else ""
