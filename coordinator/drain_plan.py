"""Plans of drains: what is asked for becomes a plan, or is refused in words that say what can be done.
Pure.

`check` is asked twice: when the plan is made, and when the leader takes it up, since another plan may have
come between.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from coordinator.drain_forecast import Forecast, forecast
from coordinator.drain_steps import UNFINISHED, report_of, rolling
from coordinator.members import Kind, View, alive, by_kind, kind_of, living, receivers
from coordinator.settings import PlanSettings
from coordinator.words import clients, counted
from protos.catalog_pb2 import NodeReport, NodeStep, Plan
from protos.coordinator_pb2 import DrainRequest

DEADLINE_S = 60.0
ACTIVE = (Plan.REQUESTED, Plan.RUNNING, Plan.CANCELLING)


class Why(Enum):
    """Why something is refused; named like the status codes of the control service."""

    NOT_FOUND = "not found"
    INVALID_ARGUMENT = "invalid argument"
    FAILED_PRECONDITION = "failed precondition"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was asked for cannot be done; the words say what can."""

    why: Why
    words: str


def plan_drain(
    request: DrainRequest, plan_id: str, view: View, plans: Sequence[Plan], now: float, settings: PlanSettings
) -> Plan | Refusal:
    """A plan for what was asked, or why not.

    A rolling drain that does not stop its nodes puts each back into rotation: the next could never leave.

    Args:
        request: what was asked; `dry_run` is the caller's.
        plan_id: for the new plan.
        view: the cluster.
        plans: all there are.
        now: monotonic seconds.
        settings: see there.

    Returns:
        A plan that is REQUESTED; its note says how long it takes.
    """
    deadline_s = request.deadline_s or DEADLINE_S
    if not 0 < deadline_s < math.inf:
        return Refusal(Why.INVALID_ARGUMENT, "the deadline must be a positive number of seconds")
    chosen = _chosen(request, view, plans, now, settings)
    if isinstance(chosen, Refusal):
        return chosen
    plan = Plan(
        id=plan_id,
        kind=Plan.DRAIN,
        state=Plan.REQUESTED,
        unavailable_max=request.unavailable_max,
        deadline_s=deadline_s,
        stop=request.stop,
        force=request.force,
        pick=request.pick,
        steps=[
            NodeStep(
                node=report.name,
                instance=report.instance,
                state=NodeStep.PENDING,
                connections_before=report.connections,
                connections=report.connections,
            )
            for report in chosen
        ],
    )
    plan.resume = not request.stop and (request.resume or rolling(plan))
    refusal = check(plan, view, plans, now, settings)
    if refusal:
        return refusal
    plan.note = _words(plan, _forecast(plan, view, plans, now, settings))
    return plan


def check(
    plan: Plan, view: View, plans: Sequence[Plan], now: float, settings: PlanSettings
) -> Refusal | None:
    """Why a drain cannot be done as asked, with respect to all other plans; None if it can."""
    others = [other for other in plans if other.id != plan.id]
    for step in plan.steps:
        taken = plan_of(step.instance, others)
        if taken:
            return Refusal(
                Why.FAILED_PRECONDITION,
                f"{step.node} is part of plan {taken.id}; cancel that one or wait for it",
            )
    if plan.force:
        return None
    ahead = _forecast(plan, view, others, now, settings)
    if not ahead.receivers:
        return Refusal(
            Why.FAILED_PRECONDITION,
            "no other node would be left to take the clients; start one, let fewer nodes leave at a time"
            " (max-unavailable), or use force",
        )
    if ahead.seconds == math.inf:
        return Refusal(
            Why.FAILED_PRECONDITION,
            f"{clients(ahead.clients)} would have to go, and the other nodes have room for {ahead.room};"
            " start another node or use force",
        )
    if ahead.seconds > plan.deadline_s:
        return Refusal(
            Why.FAILED_PRECONDITION,
            f"the nodes that stay can take {clients(ahead.clients)} in {math.ceil(ahead.seconds)} s"
            f" at the earliest, and the deadline is {plan.deadline_s:g} s;"
            f" use a deadline of at least {math.ceil(ahead.seconds)} s or force",
        )
    return None


def plan_undrain(
    node: str, plan_id: str, view: View, plans: Sequence[Plan], now: float, settings: PlanSettings
) -> Plan | Refusal:
    """A plan that puts one node back into rotation: a drain being cancelled that has only this node.

    When it is carried out, the node's part in any other drain ends. To be written like any other plan.
    """
    report = alive(view, node, now, settings.ttl_s)
    if report is None:
        return _unknown(node, view)
    if report.leaving.on_its_own:
        return Refusal(
            Why.FAILED_PRECONDITION,
            f"{node} leaves because its process was told to stop; nothing can call it back",
        )
    if report.state != NodeReport.LEAVING and plan_of(report.instance, plans) is None:
        return Refusal(Why.FAILED_PRECONDITION, f"{node} is not being drained")
    step = NodeStep(
        node=node,
        instance=report.instance,
        state=NodeStep.ORDERED,
        connections_before=report.connections,
        connections=report.connections,
    )
    return Plan(id=plan_id, kind=Plan.DRAIN, state=Plan.CANCELLING, steps=[step], note=f"undrain {node}")


def plan_cancel(plan: Plan) -> Plan | Refusal:
    """The same plan, CANCELLING: to be written in its place."""
    if plan.on_its_own:
        return Refusal(
            Why.FAILED_PRECONDITION,
            "its node leaves because its process was told to stop; that cannot be cancelled",
        )
    if plan.state not in ACTIVE:
        return Refusal(Why.FAILED_PRECONDITION, f"plan {plan.id} has ended")
    cancelling = Plan()
    cancelling.CopyFrom(plan)
    cancelling.state = Plan.CANCELLING
    for step in cancelling.steps:
        step.running_s = 0
    return cancelling


def plan_of(instance: str, plans: Sequence[Plan]) -> Plan | None:
    """The drain that an instance is part of and not done with; one that nobody wanted is in nobody's way."""
    for plan in plans:
        if plan.kind == Plan.DRAIN and plan.state in ACTIVE and not plan.cut_off:
            for step in plan.steps:
                if step.instance == instance and step.state in (NodeStep.PENDING, *UNFINISHED):
                    return plan
    return None


def holds_back(plan: Plan) -> bool:
    """Whether load is not evened out beside a drain; a node may be cut off, and long empty, for days."""
    return plan.kind == Plan.DRAIN and not (plan.cut_off and all(not step.connections for step in plan.steps))


def leaving(plans: Sequence[Plan]) -> frozenset[str]:
    """The instances that new sessions should not be reckoned to go to: ordered to leave, or about to be."""
    return frozenset(
        step.instance
        for plan in plans
        if plan.kind == Plan.DRAIN and plan.state in (Plan.REQUESTED, Plan.RUNNING)
        for step in plan.steps
        if step.state in UNFINISHED or (step.state == NodeStep.PENDING and not rolling(plan))
    )


def _chosen(
    request: DrainRequest, view: View, plans: Sequence[Plan], now: float, settings: PlanSettings
) -> list[NodeReport] | Refusal:
    if request.all == bool(request.nodes):
        return Refusal(Why.INVALID_ARGUMENT, "name the nodes to drain, or say all; not both")
    if len(set(request.nodes)) < len(request.nodes):
        return Refusal(Why.INVALID_ARGUMENT, "a node is named twice")
    if request.all:
        found = [r for r in living(view, now, settings.ttl_s) if plan_of(r.instance, plans) is None]
        chosen = [report for report in found if not report.leaving.on_its_own]
        return chosen or Refusal(Why.FAILED_PRECONDITION, "there is no node that is not leaving already")
    chosen = []
    for name in request.nodes:
        report = alive(view, name, now, settings.ttl_s)
        if report is None:
            return _unknown(name, view)
        if report.leaving.on_its_own:
            return Refusal(
                Why.FAILED_PRECONDITION, f"{name} is leaving already: its process was told to stop"
            )
        chosen.append(report)
    return chosen


def _others(plan: Plan, plans: Sequence[Plan]) -> list[Plan]:
    """All but the plan itself, and but those whose node it takes over."""
    ours = {step.instance for step in plan.steps}
    return [
        other
        for other in plans
        if other.id != plan.id and not (other.cut_off and any(step.instance in ours for step in other.steps))
    ]


def _unknown(name: str, view: View) -> Refusal:
    names = ", ".join(sorted(view.members)[:10]) or "none"
    return Refusal(Why.NOT_FOUND, f"no living node is called {name}; there are: {names}")


def _forecast(plan: Plan, view: View, plans: Sequence[Plan], now: float, settings: PlanSettings) -> Forecast:
    """The slowest of all kinds of nodes in the plan; one without receivers before all."""
    size = plan.unavailable_max if rolling(plan) else len(plan.steps)
    reports = [report_of(step, view) for step in plan.steps]
    batches = [by_kind(filter(None, reports[at : at + size])) for at in range(0, len(reports), size)]
    others = _others(plan, plans)
    stay = receivers(view, now, settings.ttl_s, leaving(others))
    busy, sending = _busy(others, view), _busy(plans, view)
    slowest = Forecast(0.0, 0, len(stay), 0)
    for each, serving in by_kind(stay).items():
        groups = [batch[each] for batch in batches if batch[each]]
        if not groups:
            continue
        # While nobody is sent away, all that arrives comes by itself; otherwise nobody can tell from a
        # report.
        natural = {} if sending[each] else {report.instance: report.connect_rate for report in serving}
        ahead = forecast(groups, serving, busy[each], rolling(plan), natural, settings)
        slowest = max(slowest, ahead, key=lambda one: (not one.receivers, one.seconds))
    return slowest


def _busy(others: Sequence[Plan], view: View) -> dict[Kind, int]:
    """By kind, the clients that running drains have still to send away."""
    busy = dict.fromkeys(Kind, 0)
    for other in others:
        if other.kind != Plan.DRAIN or other.state != Plan.RUNNING:
            continue
        for step in other.steps:
            each = kind_of(view, step)
            if each and step.state in UNFINISHED:
                busy[each] += step.connections
    return busy


def _words(plan: Plan, ahead: Forecast) -> str:
    if ahead.seconds == math.inf or not ahead.receivers:
        return "forced: the other nodes cannot take all clients"
    most = "the slowest step has" if rolling(plan) else ""
    if not most and ahead.clients < sum(step.connections for step in plan.steps):
        most = "the slower kind of node has"
    return (
        f"{most} {clients(ahead.clients)} to {counted(ahead.receivers, 'node', 'nodes')}:"
        f" about {math.ceil(ahead.seconds)} s of {plan.deadline_s:g} s"
    ).strip()
