"""Running drains: taken up, carried on, paced, ordered, ended.

Pure; plans are given as copies that may be changed.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from coordinator import cut_off, drain_steps
from coordinator.capacity import Budget, headroom
from coordinator.drain_plan import check, leaving, plan_of
from coordinator.drain_steps import UNFINISHED, report_of, rolling
from coordinator.members import Kind, View, alive, by_kind, kind, living, receivers
from coordinator.pace import Drain, shares
from coordinator.settings import PlanSettings
from coordinator.words import clients, counted
from protos.catalog_pb2 import NodeReport, NodeStep, Order, Plan

_Sender = tuple[Plan, NodeStep, NodeReport]


def adopt(plans: list[Plan], view: View, now: float, settings: PlanSettings) -> None:
    """Add a plan for every node that leaves on its own and is in none: it is paced with the others.

    Its id comes from the instance, so that two leaders one after another mean the same plan.
    """
    ids = {plan.id for plan in plans}
    running = [plan for plan in plans if plan.state != Plan.CANCELLING]
    for report in living(view, now, settings.ttl_s):
        plan_id = f"own-{report.instance}"
        if not report.leaving.on_its_own or plan_id in ids or plan_of(report.instance, running):
            continue
        step = NodeStep(
            node=report.name,
            instance=report.instance,
            state=NodeStep.ORDERED,
            connections_before=report.connections + report.leaving.sent_away,
            connections=report.connections,
            ends_in_s=report.leaving.ends_in_s,
        )
        plans.append(
            Plan(
                id=plan_id,
                kind=Plan.DRAIN,
                state=Plan.RUNNING,
                steps=[step],
                deadline_s=report.leaving.ends_in_s,
                stop=True,
                on_its_own=True,
            )
        )


def advance(plans: Sequence[Plan], view: View, now: float, elapsed_s: float, settings: PlanSettings) -> None:
    """Take up, carry on, cancel and end every drain."""
    for plan in plans:
        if plan.kind == Plan.DRAIN and plan.state == Plan.CANCELLING:
            _cancel(plan, plans, view, now, elapsed_s, settings)
    for plan in plans:
        if plan.kind != Plan.DRAIN:
            continue
        if plan.state == Plan.REQUESTED:
            _take_up(plan, plans, view, now, settings)
        if plan.state == Plan.RUNNING:
            for step in plan.steps:
                if plan.cut_off and cut_off.superseded(step, plans):
                    step.state, step.note = NodeStep.DONE, "is drained by another plan"
                else:
                    drain_steps.advance(plan, step, view, now, elapsed_s, settings)
            _start_next(plan, plans, view, now, settings)
            _end(plan)


def set_rates(
    plans: Sequence[Plan], view: View, now: float, can_take: Mapping[Kind, Budget], settings: PlanSettings
) -> None:
    """Share what the receivers of each kind can take among the nodes that send such clients away now."""
    sending: defaultdict[Kind, list[_Sender]] = defaultdict(list)
    elsewhere = cut_off.takers(plans, view, now, settings)
    for plan, step in _active(plans):
        report = alive(view, step.node, now, settings.ttl_s)
        step.rate = step.remaining_s = 0.0
        if step.state != NodeStep.SENDING or not report or report.instance != step.instance:
            continue
        if plan.cut_off and (why := cut_off.held(report, elsewhere)):
            step.note = step.note or why
        else:
            sending[kind(report)].append((plan, step, report))
    for each, senders in sending.items():
        _share(senders, can_take[each], settings)


def _share(sending: Sequence[_Sender], can_take: Budget, settings: PlanSettings) -> None:
    drains = [
        Drain(report.connections, math.inf if plan.cut_off else step.ends_in_s)
        for plan, step, report in sending
    ]
    rates = shares(drains, can_take, settings.lag_s)
    for (plan, step, report), rate in zip(sending, rates, strict=True):
        step.rate = rate
        if report.leaving.on_its_own and not can_take.receivers:
            # It is told nothing, and goes at its own pace.
            step.rate = report.leaving.rate
        elif report.leaving.on_its_own or (plan.force and not can_take.receivers):
            # They go all the same: evenly, and not held now and all in one moment at the deadline.
            step.rate = max(rate, step.connections / max(step.ends_in_s - settings.lag_s, 1.0))
        step.remaining_s = step.connections / step.rate if step.rate else 0.0
        if not step.note and step.connections:
            step.note = _outlook(step, can_take)


def orders(plans: Sequence[Plan], view: View, now: float, settings: PlanSettings) -> Iterator[Order]:
    """Every order that is in force; a node that is to serve again comes before any other.

    One that leaves on its own is told nothing while nobody has room: it knows its own pace.
    """
    for plan in plans:
        if plan.kind == Plan.DRAIN and plan.state == Plan.CANCELLING:
            for step in plan.steps:
                if step.state in UNFINISHED:
                    yield _order(plan, step, Order.SERVE)
    stay = receivers(view, now, settings.ttl_s, leaving(plans))
    receiving = {kind(report) for report in stay if headroom(report)}
    for plan, step in _active(plans):
        report = alive(view, step.node, now, settings.ttl_s)
        if report is None or report.instance != step.instance:
            continue
        if step.state == NodeStep.RETURNING:
            yield _order(plan, step, Order.SERVE)
        elif kind(report) in receiving or not report.leaving.on_its_own:
            yield _order(plan, step, Order.DRAIN)


def _order(plan: Plan, step: NodeStep, action: Order.Action) -> Order:
    order = Order(node=step.node, instance=step.instance, plan_id=plan.id, action=action)
    if action == Order.DRAIN:
        order.rate = step.rate
        order.ends_in_s = max(0.0, step.ends_in_s)
        order.stop = plan.stop
        order.pick = plan.pick
        order.cut_off = plan.cut_off
    return order


def _parts(plans: Sequence[Plan]) -> Iterator[tuple[Plan, NodeStep]]:
    for plan in plans:
        if plan.kind == Plan.DRAIN and plan.state == Plan.RUNNING:
            yield from ((plan, step) for step in plan.steps)


def _active(plans: Sequence[Plan]) -> Iterator[tuple[Plan, NodeStep]]:
    return ((plan, step) for plan, step in _parts(plans) if step.state in UNFINISHED)


def _take_up(plan: Plan, plans: Sequence[Plan], view: View, now: float, settings: PlanSettings) -> None:
    refusal = check(plan, view, [p for p in plans if p.state != Plan.REQUESTED], now, settings)
    plan.state = Plan.FAILED if refusal else Plan.RUNNING
    if refusal:
        plan.note = refusal.words


def _start_next(plan: Plan, plans: Sequence[Plan], view: View, now: float, settings: PlanSettings) -> None:
    """Order the steps whose turn has come; after a failure nobody else is taken out of rotation."""
    out = sum(step.state in UNFINISHED for step in plan.steps)
    for step in plan.steps:
        if step.state != NodeStep.PENDING:
            continue
        if rolling(plan) and (
            out >= plan.unavailable_max or any(other.state == NodeStep.FAILED for other in plan.steps)
        ):
            return
        left = receivers(view, now, settings.ttl_s, leaving(plans) | {step.instance})
        report = report_of(step, view)
        taken = report is not None and bool(by_kind(left)[kind(report)])
        if rolling(plan) and not taken and not plan.force:
            step.note = "waits: no other node could take its clients"
            return
        drain_steps.order(plan, step, view)
        step.note = ""
        out += 1


def _end(plan: Plan) -> None:
    failed = [step for step in plan.steps if step.state == NodeStep.FAILED]
    if any(step.state in UNFINISHED for step in plan.steps):
        return
    if failed:
        left = sum(step.state == NodeStep.PENDING for step in plan.steps)
        plan.state = Plan.FAILED
        plan.note = "; ".join(f"{step.node}: {step.note}" for step in failed)
        untouched = counted(left, "node was left as it is", "nodes were left as they are")
        plan.note += f"; {untouched}" if left else ""
    elif all(step.state == NodeStep.DONE for step in plan.steps):
        plan.state = Plan.DONE
        sent_away = sum(step.sent_away for step in plan.steps)
        plan.note = f"{counted(sent_away, 'client was', 'clients were')} sent away"


def _cancel(
    plan: Plan, plans: Sequence[Plan], view: View, now: float, elapsed_s: float, settings: PlanSettings
) -> None:
    """Have the nodes of a cancelled drain serve again; their part in other drains is over."""
    for step in plan.steps:
        if step.state == NodeStep.PENDING:
            continue
        step.running_s += elapsed_s
        report = alive(view, step.node, now, settings.ttl_s)
        if report is None or report.instance != step.instance or report.leaving.on_its_own:
            step.state = NodeStep.DONE
        elif report.state != NodeReport.LEAVING and step.running_s >= settings.lag_s:
            # Told for so long, an order to leave that was on its way has been overtaken.
            step.state, step.note = NodeStep.DONE, "is in rotation"
        elif step.running_s >= settings.serve_limit_s:
            step.state, step.note = NodeStep.FAILED, "did not go back into rotation"
        else:
            step.state, step.note = NodeStep.RETURNING, "goes back into rotation"
        for _, part in _parts(plans):
            # Also one whose turn has not come: otherwise it would leave after all.
            if part.instance == step.instance and part.state in (NodeStep.PENDING, *UNFINISHED):
                part.state, part.note = NodeStep.FAILED, f"put back into rotation by plan {plan.id}"
    if not any(step.state in UNFINISHED for step in plan.steps):
        plan.state = Plan.CANCELLED


def _outlook(step: NodeStep, can_take: Budget) -> str:
    if not can_take.receivers:
        return "no node can take clients now"
    late = step.connections - step.rate * max(0.0, step.ends_in_s)
    return f"about {clients(late)} will be left at the deadline" if late >= 1 else ""
