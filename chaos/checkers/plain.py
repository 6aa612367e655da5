"""Which publications of plain channels are missing at clients that should have got them.

A plain channel promises at most once. Yet while nothing is broken and the client has been there for a
while, and stays for a while, nothing excuses a loss. What even the first of the others got only after it had
gone was still on its way: that is late, and not lost. If anybody on the same node got it, the first there
counts, for one node may be slower than the others.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from chaos.checkers.verdict import Bounds, Case
from chaos.history import Session, Subscribed
from chaos.recorded import Publication, Recorded, Stream, within


class PlainSurvey(NamedTuple):
    """What was looked at.

    Attributes:
        owed: how many deliveries nothing could have excused the lack of.
        missed: those that are missing.
    """

    owed: int
    missed: list[Case]


def survey_plain(recorded: Recorded, bounds: Bounds) -> PlainSurvey:
    """Compares what clients on plain channels should have got with what they got."""
    disturbances = recorded.disturbances(settle_s=bounds.settle_s)
    accepted: dict[str, list[Publication]] = {}
    for publication in recorded.publications:
        began = publication.invoked
        if began is None or not publication.accepted or recorded.keeps_history(publication.channel):
            continue
        # An accepted one is still on its way for a moment: a fault that comes then may take it along.
        arrived = publication.ended + bounds.plain_settle_s
        if not within(began, disturbances) and not within(arrived, disturbances):
            accepted.setdefault(publication.channel, []).append(publication)
    for listed in accepted.values():
        listed.sort(key=_invoked)
    owed = 0
    missing: list[tuple[Stream, Publication, float]] = []
    for stream in recorded.healthy():
        if recorded.keeps_history(stream.channel):
            continue
        here = accepted.get(stream.channel, [])
        delivered = set(stream.numbers)
        for began, ended in _spans(stream):
            low = bisect_left(here, began + bounds.plain_settle_s, key=_invoked)
            high = bisect_right(here, ended - bounds.plain_settle_s, key=_invoked)
            owed += max(0, high - low)
            missing += [(stream, each, ended) for each in here[low:high] if each.number not in delivered]
    arrivals = _arrivals(recorded, {publication.number for _, publication, _ in missing})
    missed = [
        _case(recorded, stream, publication)
        for stream, publication, ended in missing
        if _first(arrivals.get(publication.number, {}), recorded.node_of(stream.client, ended)) <= ended
    ]
    return PlainSurvey(owed, missed)


def _arrivals(recorded: Recorded, numbers: set[int]) -> dict[int, dict[str, float]]:
    """When each publication came to the first healthy client of each node where somebody got it."""
    first: dict[int, dict[str, float]] = {}
    for stream in recorded.healthy() if numbers else ():
        for t, number in zip(stream.times, stream.numbers, strict=True):
            if number in numbers:
                by_node = first.setdefault(number, {})
                node = recorded.node_of(stream.client, t)
                by_node[node] = min(t, by_node.get(node, t))
    return first


def _first(by_node: dict[str, float], node: str) -> float:
    """When a publication was there for the clients of a node; if none of them got it, for anybody."""
    return by_node.get(node, min(by_node.values(), default=0.0))


def _invoked(publication: Publication) -> float:
    return publication.invoked or 0.0


def _spans(stream: Stream) -> Iterator[tuple[float, float]]:
    """When the client was subscribed without a break."""
    began: float | None = None
    for _, mark in stream.marks:
        if isinstance(mark, Session) and mark.phase != "closed":
            continue
        if began is not None:
            yield began, mark.t
            began = None
        if isinstance(mark, Subscribed):
            began = mark.t
    if began is not None and stream.final:
        yield began, stream.final.t
    elif began is not None and stream.times:
        yield began, stream.times[-1]


def _case(recorded: Recorded, stream: Stream, publication: Publication) -> Case:
    t = publication.ended
    node = recorded.node_of(stream.client, t)
    what = "a plain publication did not come though nothing was broken"
    return Case(what, t - recorded.zero, stream.client, stream.channel, publication.id, None, node)
