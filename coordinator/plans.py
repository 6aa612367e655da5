"""One step of everything that is planned: drains first, then what they leave to rebalancing. Pure.

The process around it calls `step` every tick while it leads, writes the plans that changed, and numbers,
fences and writes the orders. A plan is all the memory there is besides `Pace`, which a new leader starts
without. Nodes of each kind have their own: their clients never meet.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from coordinator import cut_off, drain_run, rebalance_plan
from coordinator.capacity import budgets
from coordinator.drain_plan import leaving
from coordinator.members import Kind, View, by_kind, kind_of, receivers
from coordinator.pace import Pace, elapsed_s, natural, observed
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import Order, Plan

ENDED = frozenset((Plan.DONE, Plan.FAILED, Plan.CANCELLED))


class Stepped(NamedTuple):
    """What a step decided.

    Attributes:
        plans: every plan given, the changed ones as new messages, and the new ones of nodes that leave on
            their own or are cut off. `running_s`, `ends_in_s` and counts change with every step.
        orders: all that are in force, without fence and number: one per node at most. An order that is not
            among them any more is over.
        pace: for the next step.
    """

    plans: list[Plan]
    orders: list[Order]
    pace: Mapping[Kind, Pace]


def step(
    plans: Sequence[Plan],
    view: View,
    now: float,
    settings: PlanSettings,
    pace: Mapping[Kind, Pace],
    unix_s: float,
) -> Stepped:
    """Carry every plan on.

    Args:
        plans: all of the catalog, ended ones included; they are not changed.
        view: the cluster.
        now: monotonic seconds of this process; the time since the last step is what deadlines lose.
        settings: see there.
        pace: what the last step returned, nothing for a new leader.
        unix_s: the time of day, only to be shown to people.
    """
    elapsed = max((elapsed_s(each, now) for each in pace.values()), default=0.0)
    sending = _sending(plans, view)
    stepped = [_copy(plan) for plan in plans]
    drain_run.adopt(stepped, view, now, settings)
    cut_off.adopt(stepped, view, now, settings)
    drain_run.advance(stepped, view, now, elapsed, settings)
    rebalance_plan.advance(stepped, view, now, elapsed, settings)

    stay = receivers(view, now, settings.ttl_s, leaving(stepped))
    pace = {
        each: observed(pace.get(each, Pace()), alike, sending[each], now, settings.lag_s)
        for each, alike in by_kind(stay).items()
    }
    unplanned = {instance: rate for each in pace.values() for instance, rate in natural(each).items()}
    can_take = budgets(stay, unplanned, settings)
    drain_run.set_rates(stepped, view, now, can_take, settings)
    rebalance_plan.set_rates(stepped, can_take[Kind.HTTP])

    orders: dict[str, Order] = {}
    for order in (
        *drain_run.orders(stepped, view, now, settings),
        *rebalance_plan.orders(stepped, view, now, settings),
    ):
        orders.setdefault(order.node, order)
    known = {plan.id: plan.state for plan in plans}
    for plan in stepped:
        _stamp(plan, known.get(plan.id, Plan.STATE_UNSPECIFIED), unix_s)
    return Stepped(stepped, list(orders.values()), pace)


def _sending(plans: Sequence[Plan], view: View) -> dict[Kind, float]:
    """By kind, the sessions per second that plans were told to send away in the last step."""
    sending = dict.fromkeys(Kind, 0.0)
    for plan in plans:
        for step in plan.steps if plan.state == Plan.RUNNING else ():
            if each := kind_of(view, step):
                sending[each] += step.rate
    return sending


def _copy(plan: Plan) -> Plan:
    copy = Plan()
    copy.CopyFrom(plan)
    return copy


def _stamp(plan: Plan, before: Plan.State, unix_s: float) -> None:
    if plan.state == before:
        return
    if plan.state in ENDED:
        plan.ended_at = unix_s
        for step in plan.steps:
            step.rate = step.remaining_s = 0.0
    elif plan.state == Plan.RUNNING:
        plan.requested_at = plan.requested_at or unix_s
        plan.started_at = unix_s
