"""Balance: after a rebalance every node has its share, and clients were moved no faster than was asked."""

import math

from chaos.checkers.stays import Stay, most_within, stays_of
from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude
from chaos.history import Rebalance
from chaos.recorded import Recorded

NAME = "balance"
# Who is moved goes wherever it is let in. So many standard deviations of a node's part in that are chance.
_DEVIATIONS = 3


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Judged from where clients were, not from what nodes or coordinators say of themselves."""
    cases = Cases()
    doubts = []
    begun: Rebalance | None = None
    moved_in_all, farthest, fastest = 0, 0.0, 0.0
    stays = stays_of(recorded)
    for record in recorded.rebalances:
        if record.phase == "begin":
            begun = record
        elif begun is not None:
            settled = record.t + bounds.balance_settle_s
            if recorded.end < settled:
                doubts.append("the history ends before all can have arrived")
            if not any(stay.node in begun.nodes and stay.began <= settled < stay.ended for stay in stays):
                doubts.append("nobody was there after a rebalance")
            moved = sorted(stay.ended for stay in stays if _was_moved(stay, begun, record))
            moved_in_all += len(moved)
            farthest = max(farthest, _shares(recorded, bounds, begun, record, stays, len(moved), cases))
            fastest = max(fastest, _pace(recorded, bounds, begun, moved, cases))
            begun = None
    if begun is not None:
        doubts.append("a rebalance was not seen to end")
    return conclude(
        NAME,
        recorded,
        bounds,
        cases,
        judged=len(recorded.rebalances) // 2,
        of="rebalances",
        doubt="; ".join(doubts),
        words=f"{moved_in_all} clients moved, at most {fastest:.0f} a second, then nodes were at most"
        f" {farthest:.0f} from their share"
        if recorded.rebalances
        else "",
        measured={"moved": float(moved_in_all), "moved_per_s": fastest, "from_share": farthest},
    )


def _was_moved(stay: Stay, begun: Rebalance, ended: Rebalance) -> bool:
    """Whether its node ended it during the rebalance, with a code."""
    return (
        stay.node in begun.nodes
        and stay.closed is not None
        and stay.closed.code > 0
        and begun.t <= stay.ended <= ended.t
    )


def _shares(
    recorded: Recorded,
    bounds: Bounds,
    begun: Rebalance,
    ended: Rebalance,
    stays: list[Stay],
    moved: int,
    cases: Cases,
) -> float:
    """How far the worst node is from its share; a case for each that is too far."""
    at = ended.t + bounds.balance_settle_s
    nodes = begun.nodes
    clients = {
        node: sum(stay.node == node and stay.began <= at < stay.ended for stay in stays) for node in nodes
    }
    share = sum(clients.values()) / len(nodes)
    band = max(bounds.balance_sessions, bounds.balance_relative * share)
    chance = _DEVIATIONS * math.sqrt(moved * (len(nodes) - 1)) / len(nodes)
    for node, count in clients.items():
        if abs(count - share) > band + chance:
            what = f"has {count} clients, its share is {share:.0f}, {band:.0f} away from it is still even"
            cases.add(Case(f"{what} and {chance:.0f} more are chance", at - recorded.zero, node=node))
    return max(abs(count - share) for count in clients.values())


def _pace(recorded: Recorded, bounds: Bounds, begun: Rebalance, moved: list[float], cases: Cases) -> float:
    """The most that left in a second, over a window; a case if they are too many."""
    window_s = bounds.connect_window_s
    most, at = most_within(window_s, moved)
    if begun.rate and most > begun.rate * window_s * bounds.connect_slack:
        what = f"{most} clients were moved within {window_s:g} s, {begun.rate:g} a second were asked for"
        cases.add(Case(what, at - recorded.zero))
    return most / window_s
