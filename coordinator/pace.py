"""How fast clients may be sent away, and whose they are: one budget for all plans. Pure.

All of it is of one kind of node: what plans send away there arrives there.

What a node counts as arrivals is what plans sent there plus what came by itself. Both are smoothed in the
same way before they are compared: a report is seconds behind the order that caused it, and a pace that
answered the difference at once would swing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, inf, sqrt
from typing import NamedTuple

from coordinator.capacity import RATE_MIN, Budget
from protos.catalog_pb2 import NodeReport

# Far longer than reports are late, and short against a drain.
SMOOTHING_S = 10.0
# What comes by chance is rarely so many times the root of its mean above it.
CHANCE = 3.0
# How a drain without a deadline is weighed against others: as if it had this one.
UNHURRIED_S = 60.0
# A deadline presses when the pace is not so many times what it needs: receivers fill up, and take less then.
MARGIN = 1.5


@dataclass(frozen=True, slots=True)
class Pace:
    """What a leader remembers between two steps; a new one starts from nothing.

    Attributes:
        at: when the last step was (monotonic seconds), None before the first.
        arriving: sessions per second that plans sent away, delayed as their arrival in reports is.
        caused: the same, smoothed like arrivals.
        caused_most: the most lately: what arrives beyond that comes by itself, however late reports are.
        arrived: by instance, new sessions per second, smoothed.
        reported: by instance, as the newest report says.
    """

    at: float | None = None
    arriving: float = 0.0
    caused: float = 0.0
    caused_most: float = 0.0
    arrived: Mapping[str, float] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)


class Drain(NamedTuple):
    """A node that is sending its clients away: how many are left, and the seconds it has for them.

    Infinite seconds: it is to go at the normal pace and makes room for those who have a deadline.
    """

    clients: int
    ends_in_s: float


def elapsed_s(pace: Pace, now: float) -> float:
    """Seconds since the last step, none for a new leader; never negative."""
    return 0.0 if pace.at is None else max(0.0, now - pace.at)


def observed(pace: Pace, receivers: Sequence[NodeReport], sending: float, now: float, lag_s: float) -> Pace:
    """The pace after some time in which plans sent clients away.

    Args:
        pace: as it was.
        receivers: newest reports of who can be sent clients.
        sending: sessions per second that plans were told since the last step.
        now: monotonic seconds.
        lag_s: from an order to the report that shows its effect.
    """
    reported = {report.instance: report.connect_rate for report in receivers}
    if pace.at is None:
        return Pace(now, sending, sending, sending, reported, reported)
    elapsed = elapsed_s(pace, now)
    keep, late = exp(-elapsed / SMOOTHING_S), exp(-elapsed / lag_s)
    arriving = late * pace.arriving + (1 - late) * sending
    return Pace(
        at=now,
        arriving=arriving,
        caused=keep * pace.caused + (1 - keep) * arriving,
        caused_most=max(keep * pace.caused_most, sending),
        arrived={
            instance: keep * pace.arrived.get(instance, rate) + (1 - keep) * rate
            for instance, rate in reported.items()
        },
        reported=reported,
    )


def natural(pace: Pace) -> dict[str, float]:
    """By instance, new sessions per second that no plan caused, if plans' clients spread evenly.

    What the smoothed figures say, or, when many come all of a sudden, what is beyond the most that plans
    caused lately and beyond chance.
    """
    count = max(1, len(pace.arrived))
    each, each_most = pace.caused / count, pace.caused_most / count
    beyond = each_most + CHANCE * sqrt(each_most)
    return {
        instance: max(0.0, rate - each, pace.reported[instance] - beyond)
        for instance, rate in pace.arrived.items()
    }


def shares(drains: Sequence[Drain], budget: Budget, lag_s: float) -> list[float]:
    """Sessions per second for each drain: who has more clients left and less time gets more.

    Together they use the normal pace; only if the deadlines press, more, up to the most. A drain without
    a deadline gets nothing then, and nothing that others need to keep theirs.

    Args:
        drains: all that send clients away now.
        budget: what the receivers can take.
        lag_s: the end of the time that is not reckoned with: the last clients must have arrived by then.
    """
    needs = [drain.clients / max(_weighed_s(drain) - lag_s, 1.0) for drain in drains]
    hurried = sum(need for need, drain in zip(needs, drains, strict=True) if drain.ends_in_s < inf)
    unhurried = sum(needs) - hurried
    if budget.paced < MARGIN * hurried:
        totals = max(budget.pressed, min(budget.most, hurried)), 0.0
    else:
        left = min(budget.paced - MARGIN * hurried, budget.paced * unhurried / max(sum(needs), RATE_MIN))
        totals = budget.paced - left, left
    each, each_unhurried = (
        total / max(need, RATE_MIN) for total, need in zip(totals, (hurried, unhurried), strict=True)
    )
    return [
        need * (each if drain.ends_in_s < inf else each_unhurried)
        for need, drain in zip(needs, drains, strict=True)
    ]


def _weighed_s(drain: Drain) -> float:
    return drain.ends_in_s if drain.ends_in_s < inf else UNHURRIED_S
