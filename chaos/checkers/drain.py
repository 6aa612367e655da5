"""Drain: a node that goes is empty before its deadline, cuts nobody off, and floods nobody.

Whoever comes to it before it has been given back counts like those who were there: a node may take clients
until the order to leave has reached it, and one that was half open then, but it has to be rid of them too.
"""

from bisect import bisect_right

from chaos.checkers.stays import Stay, most_within, stays_of
from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude
from chaos.history import DROPPED, FaultChanged
from chaos.recorded import Recorded

NAME = "drain"


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Judged from what clients saw, not from what nodes say of themselves."""
    drains = [span for span in recorded.spans() if span[0].drain_deadline_s]
    stays = stays_of(recorded)
    cases = Cases()
    slowest = fastest = 0.0
    judged = 0
    for fault, began, healed in drains:
        given_back = _given_back(recorded, fault, healed)
        hosted = [
            stay
            for stay in stays
            if stay.node == fault.node and stay.began < given_back and stay.ended > began
        ]
        # Who drains a node without clients learns nothing of it.
        judged += bool(hosted)
        empty = max((stay.ended for stay in hosted), default=began)
        slowest = max(slowest, min(empty, recorded.end) - began)
        if empty > began + fault.drain_deadline_s:
            cases.add(_not_empty(recorded, fault, hosted, began))
        _cut_off(recorded, bounds, fault, hosted, cases)
        until = min(empty, began + fault.drain_deadline_s) + bounds.connect_window_s
        for node in sorted({stay.node for stay in stays} - {fault.node}):
            arrivals = sorted(
                stay.began for stay in stays if stay.node == node and began <= stay.began <= until
            )
            fastest = max(fastest, _flooded(recorded, bounds, node, arrivals, cases))
    return conclude(
        NAME,
        recorded,
        bounds,
        cases,
        judged=judged,
        of="drains of nodes with clients",
        words=f"empty within {slowest:.1f} s, at most {fastest:.0f} arrivals a second on a node"
        if drains
        else "",
        measured={"empty_s": slowest, "arrivals_per_s": fastest},
    )


def _given_back(recorded: Recorded, fault: FaultChanged, healed: float) -> float:
    """From when on the node may have clients again."""
    healing = (
        change.t
        for change in recorded.faults
        if change.phase == "healing" and change.name == fault.name and change.t >= fault.t
    )
    return min(next(healing, healed), healed)


def _not_empty(recorded: Recorded, fault: FaultChanged, hosted: list[Stay], began: float) -> Case:
    deadline = began + fault.drain_deadline_s
    left = [stay for stay in hosted if stay.ended > deadline]
    what = f"{len(left)} of {len(hosted)} clients were still there after {fault.drain_deadline_s:g} s"
    if came := sum(stay.began > began for stay in left):
        what += f", {came} of them had come since"
    return Case(what, deadline - recorded.zero, node=fault.node)


def _cut_off(
    recorded: Recorded, bounds: Bounds, fault: FaultChanged, hosted: list[Stay], cases: Cases
) -> None:
    """Clients whose connection broke without a word, where the transport has one."""
    broken = [
        stay.closed
        for stay in hosted
        if stay.closed
        and stay.closed.code == 0
        and stay.closed.reason != DROPPED
        and not stay.closed.transport.startswith(bounds.wordless_transports)
    ]
    for session in broken if len(broken) > bounds.drain_cut_off_max else ():
        what = f"was cut off without a word ({session.reason})"
        cases.add(Case(what, session.t - recorded.zero, session.client, node=fault.node))


def _flooded(recorded: Recorded, bounds: Bounds, node: str, arrivals: list[float], cases: Cases) -> float:
    """The most arrivals a second on a receiving node, over a window; a case if they are too many."""
    window_s = bounds.connect_window_s
    most, at = most_within(window_s, arrivals)
    allowed = _allowed(recorded, bounds, node, at)
    if allowed is not None and most > allowed * window_s * bounds.connect_slack:
        what = f"{most} clients arrived within {window_s:g} s, it can take {allowed:g} a second"
        cases.add(Case(what, at - recorded.zero, node=node))
    return most / window_s


def _allowed(recorded: Recorded, bounds: Bounds, node: str, t: float) -> float | None:
    """New sessions a second the node may get: what was set, or what it last said it can take."""
    if bounds.connect_rate_max is not None:
        return bounds.connect_rate_max
    said = [sample for sample in recorded.samples.get(node, ()) if sample.connect_rate]
    at = bisect_right(said, t, key=lambda sample: sample.t)
    return said[at - 1].connect_rate if at else None
