"""What the nodes that stay can take: how many sessions, and how many new ones per second. Pure.

Behind a load balancer that spreads evenly a plan cannot choose who receives: every receiver gets the same
share of the clients sent away, and the weakest one sets the pace for all. So the safe total is the number
of receivers with room times what the weakest of them can take. Clients that are placed by `/discover` go
where there is more room; what they bring shows up as arrivals there, and is subtracted like any other.

Nodes of different kinds take different clients. What is reckoned here is of receivers of one kind; `budgets`
does it for each.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from coordinator.members import Kind, by_kind
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import NodeReport

# The share of a core a node may use with all arrivals; above it the clients that are there would notice.
CPU_MAX = 0.85
# What is left for arrivals on a node that is busier than that: a plan is slow there, but goes on.
CPU_SPARE_MIN = 0.05
# A timer later than this shows that a node has too much to do already, whatever it measured.
LOOP_LAG_MAX_S = 0.2
# Arrivals come at random: aimed at the limit itself, every other second would be above it.
CEILING = 0.9
# Below this nothing is sent in any time worth waiting for.
RATE_MIN = 1e-6
# A receiver is filled at such a pace that it would take at least so long. What is known of it is up to
# `lag_s` old, and filling in proportion to its old room does not overshoot while lag < fill / e.
FILL_S = 10.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Sessions per second that all plans together may send to the receivers.

    Attributes:
        paced: the normal pace.
        pressed: when a deadline presses: without regard for receivers that are nearly full. They refuse who
            is too many, and these clients come to another.
        most: when that is not enough either: without the share that is kept for others.
        receivers: how many nodes have room.
        room: how many sessions these can hold in all.
    """

    paced: float
    pressed: float
    most: float
    receivers: int
    room: int


def headroom(report: NodeReport, handed_out: int = 0) -> int:
    """How many more sessions a node can hold, never less than none.

    Args:
        report: of the node.
        handed_out: clients that were just sent there and that the report cannot know of.
    """
    return max(0, report.capacity - report.connections - handed_out)


def connect_rate(report: NodeReport, settings: PlanSettings) -> float:
    """New sessions per second, from wherever they come, that a node can take.

    The lower of its own limit and of what its spare processor time pays for. The processor time that its
    arrivals cost now is spare as well: they are part of what is being reckoned.
    """
    rates = [report.connect_rate_max] if report.connect_rate_max > 0 else []
    if report.connect_cost_s > 0:
        others = max(0.0, report.cpu - report.connect_rate * report.connect_cost_s)
        rates.append(max(CPU_SPARE_MIN, CPU_MAX - others) / report.connect_cost_s)
    rate = min(rates, default=settings.connect_rate_default)
    return rate * min(1.0, LOOP_LAG_MAX_S / report.loop_lag_s) if report.loop_lag_s > 0 else rate


def budgets(
    receivers: Iterable[NodeReport], natural: Mapping[str, float], settings: PlanSettings
) -> dict[Kind, Budget]:
    """The budget of each kind of node; see `budget`."""
    return {each: budget(alike, natural, settings) for each, alike in by_kind(receivers).items()}


def budget(receivers: Iterable[NodeReport], natural: Mapping[str, float], settings: PlanSettings) -> Budget:
    """What all plans together may send to these nodes now.

    Args:
        receivers: every node of one kind in rotation; the full ones among them count for nothing.
        natural: by instance, new sessions per second that no plan caused.
        settings: see there.
    """
    roomy = [report for report in receivers if headroom(report)]
    paced = pressed = most = math.inf if roomy else 0.0
    for report in roomy:
        others = natural.get(report.instance, 0.0)
        most = min(most, max(0.0, CEILING * connect_rate(report, settings) - others))
        pressed = min(pressed, paced_rate(report, others, settings))
        paced = min(paced, pressed, headroom(report) / FILL_S)
    count = len(roomy)
    return Budget(paced * count, pressed * count, most * count, count, sum(map(headroom, roomy)))


def paced_rate(report: NodeReport, natural: float, settings: PlanSettings) -> float:
    """What plans may send to a node per second: their share, and not what others take."""
    rate = connect_rate(report, settings)
    return max(0.0, min(settings.connect_share * rate, CEILING * rate - natural))


class Intake(NamedTuple):
    """How receivers take in a number of clients: the seconds it takes, and the most that one of them gets."""

    seconds: float
    each_max: float


def intake(
    clients: int, receivers: Sequence[NodeReport], natural: Mapping[str, float], settings: PlanSettings
) -> Intake:
    """How long receivers need for so many clients at the normal pace; for ever if there is no room for them.

    An even spread fills the receivers one after another: with every one that is full the others get more
    each, and the pace is that of the fewer.
    """
    rooms = sorted(
        (headroom(report), paced_rate(report, natural.get(report.instance, 0.0), settings))
        for report in receivers
    )
    rooms = [(room, rate) for room, rate in rooms if room]
    # For every receiver, the rate of the weakest among it and those with more room.
    rates = list(accumulate((rate for _, rate in reversed(rooms)), min))[::-1]
    left, seconds, filled = float(clients), 0.0, 0.0
    for index, (room, _) in enumerate(rooms):
        count = len(rooms) - index
        each = min(room - filled, left / count)
        seconds += each / max(rates[index], RATE_MIN)
        left -= each * count
        filled += each
    return Intake(seconds if left < 1 else math.inf, filled)
