"""Unplaced: a channel keeps history, and something of it has no place there; or the other way round.

Whoever gets no position cannot recover, and is owed nothing by what was answered: a node that forgot what a
channel is configured to be would be above every other verdict.
"""

from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude, delivery_case
from chaos.history import Subscribed
from chaos.recorded import Publication, Recorded, Stream

NAME = "unplaced"


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """What is accepted, subscribed or delivered has a place exactly where history is configured."""
    cases = Cases()
    judged = 0
    for publication in recorded.publications:
        if publication.accepted:
            judged += 1
            _accepted(recorded, publication, cases)
    for stream in recorded.judged():
        judged += len(stream.offsets) + len(stream.marks)
        kept = recorded.keeps_history(stream.channel)
        _subscribed(recorded, stream, kept, cases)
        if stream.offsets.count(0) != (0 if kept else len(stream.offsets)):
            for at, offset in enumerate(stream.offsets):
                if bool(offset) != kept:
                    cases.add(delivery_case(recorded, stream, at, _what("was delivered", kept)))
    return conclude(NAME, recorded, bounds, cases, judged=judged, of="answers and deliveries")


def _what(happened: str, kept: bool) -> str:
    return (
        f"{happened} without a place, the channel keeps history"
        if kept
        else f"{happened} with a place, the channel keeps no history"
    )


def _accepted(recorded: Recorded, publication: Publication, cases: Cases) -> None:
    kept = recorded.keeps_history(publication.channel)
    if bool(publication.epoch) == bool(publication.offset) == kept:
        return
    cases.add(
        Case(
            _what("was accepted", kept),
            publication.ended - recorded.zero,
            "",
            publication.channel,
            publication.id,
            publication.offset,
            publication.node,
        )
    )


def _subscribed(recorded: Recorded, stream: Stream, kept: bool, cases: Cases) -> None:
    for _, mark in stream.marks:
        if isinstance(mark, Subscribed) and bool(mark.epoch) != kept:
            node = recorded.node_of(stream.client, mark.t)
            cases.add(
                Case(
                    _what("was subscribed", kept),
                    mark.t - recorded.zero,
                    stream.client,
                    stream.channel,
                    node=node,
                )
            )
