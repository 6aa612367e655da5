"""Duplicated: one publication came twice to one client on one channel."""

from chaos.checkers.verdict import Bounds, Cases, Verdict, conclude, delivery_case
from chaos.recorded import Recorded, Stream

NAME = "duplicated"


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Every client saw every publication at most once, over all its sessions, on both kinds of channels."""
    cases = Cases()
    deliveries = 0
    for stream in recorded.judged():
        deliveries += len(stream.numbers)
        if len(set(stream.numbers)) < len(stream.numbers):
            _repeats(recorded, stream, cases)
    return conclude(NAME, recorded, bounds, cases, judged=deliveries, of="deliveries")


def _repeats(recorded: Recorded, stream: Stream, cases: Cases) -> None:
    first: dict[int, int] = {}
    for at, number in enumerate(stream.numbers):
        before = first.setdefault(number, at)
        if before == at:
            continue
        t = stream.times[before] - recorded.zero
        what = f"came first at {t:.3f} s with offset {stream.offsets[before]}"
        cases.add(delivery_case(recorded, stream, at, what))
