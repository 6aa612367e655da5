"""False recovery: the cluster said `recovered: true`, or said nothing of it, and something was missed."""

from chaos.checkers.missed import survey
from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude
from chaos.history import Subscribed
from chaos.recorded import Recorded

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
    return conclude(NAME, recorded, bounds, cases, judged=found.recoveries, of="recoveries")


def _other_epochs(recorded: Recorded) -> list[Case]:
    """Recoveries out of another stream than the one asked for."""
    return [
        Case(
            f"asked for epoch {mark.asked.epoch}, recovered in {mark.epoch}",
            mark.t - recorded.zero,
            stream.client,
            stream.channel,
            offset=mark.asked.offset,
            node=recorded.node_of(stream.client, mark.t),
        )
        for stream in recorded.judged()
        for _, mark in stream.marks
        if isinstance(mark, Subscribed)
        and mark.epoch
        and mark.asked
        and mark.recovered is not False
        and mark.asked.epoch != mark.epoch
    ]


def _said(recovery: Subscribed) -> str:
    return "was said to be complete" if recovery.recovered else "was answered without a word about that"
