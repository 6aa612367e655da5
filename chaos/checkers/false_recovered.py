"""False recovery: the cluster said `recovered: true`, or said nothing of it, and something was missed.

Or it said `recovered: false` for nothing: a cluster that never recovers anybody would never be wrong.
"""

from bisect import bisect_right
from collections.abc import Iterator

from chaos.checkers.missed import survey
from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude
from chaos.history import Position, Subscribed
from chaos.recorded import Recorded, Stream

NAME = "false_recovered"


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Whoever is not told that something is missing has all, and in the stream it asked for."""
    found = survey(recorded)
    cases = Cases(
        each.case(recorded, f"recovered from {each.recovery.asked.offset} {_said(each.recovery)}")
        for each in found.missed
        if each.recovery and each.recovery.asked
    )
    for case in _other_epochs(recorded):
        cases.add(case)
    refused = _refused(recorded, bounds)
    judged = found.recoveries + len(refused)
    if len(refused) > judged * bounds.refusals_max:
        for case in refused:
            cases.add(case)
    return conclude(
        NAME,
        recorded,
        bounds,
        cases,
        judged=judged,
        of="recoveries",
        measured={"refused_for_nothing_count": float(len(refused))},
    )


def _refused(recorded: Recorded, bounds: Bounds) -> list[Case]:
    """Recoveries that were refused though the epoch is the same and the channel keeps all that was missed."""
    stored: dict[tuple[str, str], list[int]] = {}
    for publication in recorded.publications:
        if publication.accepted and publication.epoch:
            stored.setdefault((publication.channel, publication.epoch), []).append(publication.offset)
    for offsets in stored.values():
        offsets.sort()
    cases = []
    for stream, mark, asked in _answers(recorded):
        if mark.recovered is False and asked.epoch == mark.epoch:
            offsets = stored.get((stream.channel, mark.epoch), [])
            missed = max(0, bisect_right(offsets, mark.offset) - bisect_right(offsets, asked.offset))
            if missed <= bounds.kept_publications:
                what = f"recovery from {asked.offset} was refused, {missed} were missed"
                cases.append(_case(recorded, stream, mark, asked, what))
    return cases


def _other_epochs(recorded: Recorded) -> list[Case]:
    """Recoveries out of another stream than the one asked for."""
    return [
        _case(recorded, stream, mark, asked, f"asked for epoch {asked.epoch}, recovered in {mark.epoch}")
        for stream, mark, asked in _answers(recorded)
        if mark.recovered is not False and asked.epoch != mark.epoch
    ]


def _answers(recorded: Recorded) -> Iterator[tuple[Stream, Subscribed, Position]]:
    """The answers to clients that had a position, on channels that keep history."""
    for stream in recorded.judged():
        for _, mark in stream.marks:
            if isinstance(mark, Subscribed) and mark.epoch and mark.asked:
                yield stream, mark, mark.asked


def _case(recorded: Recorded, stream: Stream, mark: Subscribed, asked: Position, what: str) -> Case:
    at = mark.t - recorded.zero
    node = recorded.node_of(stream.client, mark.t)
    return Case(what, at, stream.client, stream.channel, offset=asked.offset, node=node)


def _said(recovery: Subscribed) -> str:
    return "was said to be complete" if recovery.recovered else "was answered without a word about that"
