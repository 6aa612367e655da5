"""Nodes that are cut off from NATS while others are not: their clients are sent to those. Pure.

It is a drain that nobody asked for: without a deadline that hurries anyone, at the normal pace, and over when
the node's connection is back. Whatever somebody asks for comes before it. Nodes keep their clients as long as
no node of their kind is better off: when NATS itself is away, moving clients about would only add to it.

Whether a node is cut off is its own judgement, with a number: a plan is for one such time. Ended by hand, it
is not begun again until the next.
"""

from collections.abc import Collection, Sequence

from coordinator.capacity import headroom
from coordinator.drain_plan import leaving
from coordinator.members import Kind, View, kind, living, receivers
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import NodeReport, NodeStep, Plan

# Nobody is to be sent away only because time is up: far beyond any outage.
DEADLINE_S = 30 * 86_400.0


def takers(plans: Sequence[Plan], view: View, now: float, settings: PlanSettings) -> frozenset[Kind]:
    """The kinds of nodes of which one has room and its broker, without any doubt.

    A node whose connection has just broken still serves, and in the next seconds may be no better off.
    """
    return frozenset(
        kind(report)
        for report in receivers(view, now, settings.ttl_s, leaving(plans))
        if headroom(report) and not report.broker_outage and not report.broker_lost_s
    )


def adopt(plans: list[Plan], view: View, now: float, settings: PlanSettings) -> None:
    """Add a plan for every node that has clients and is cut off, where others can take them.

    Its id comes from the instance and the number of the time, so that two leaders one after another mean the
    same plan.
    """
    ids = {plan.id for plan in plans}
    elsewhere = takers(plans, view, now, settings)
    others = leaving(plans) | _returning(plans)
    for report in living(view, now, settings.ttl_s):
        plan_id = f"lost-{report.instance}-{report.broker_outage}"
        lost = report.broker_outage and report.broker_lost_s and report.connections
        if not lost or plan_id in ids or report.instance in others or kind(report) not in elsewhere:
            continue
        if report.state == NodeReport.LEAVING and not report.leaving.cut_off:
            # Drained already: it is to stay out of rotation, also when its broker is back.
            continue
        step = NodeStep(
            node=report.name,
            instance=report.instance,
            state=NodeStep.ORDERED,
            connections_before=report.connections,
            connections=report.connections,
            ends_in_s=DEADLINE_S,
        )
        plans.append(
            Plan(
                id=plan_id,
                kind=Plan.DRAIN,
                state=Plan.RUNNING,
                note=f"{report.name} is cut off from NATS: its clients are sent to other nodes",
                steps=[step],
                deadline_s=DEADLINE_S,
                cut_off=True,
            )
        )


def superseded(step: NodeStep, plans: Sequence[Plan]) -> bool:
    """Whether another drain has the node now: one that was asked for, or the node stops by itself."""
    running = [plan for plan in plans if plan.state == Plan.RUNNING and not plan.cut_off]
    return step.instance in leaving(running)


def held(report: NodeReport, elsewhere: Collection[Kind]) -> str:
    """Why a node that is cut off sends nobody away now, "" if it does."""
    if not report.broker_lost_s:
        return "connected again; takes clients when that has lasted"
    if kind(report) not in elsewhere:
        return "keeps its clients: no other node is better off"
    return ""


def _returning(plans: Sequence[Plan]) -> frozenset[str]:
    """The instances that somebody has just called back."""
    return frozenset(step.instance for plan in plans if plan.state == Plan.CANCELLING for step in plan.steps)
