"""Plans that even out load: just enough clients leave the fullest nodes. Pure.

A node's share is the mean load of all nodes in rotation times its capacity. It is too full when
it is above its share by more than both thresholds; that is the edge of its band. A plan brings it down to the
middle between share and edge, so that noise does not start the next one.

Behind a load balancer that spreads evenly, the moved clients come back evenly over all n nodes, those they
left included: of M moved clients every node gets M/n. A node that is to lose x net must send x + M/n, and
from M = sum of (x + M/n) over the f nodes that send follows M = n/(n-f) * sum of x. A node that M/n would
push over its edge sends too. That ends before all do: the bands together hold more than there are clients.
So one plan is enough, unless a node would have to send more clients than it has, and the next one finds
nothing to do. Clients that are placed where there is room do not come back: a node that is down to its
share sends nobody any more.

Nodes that serve gRPC have no part in it. A client whose stream is ended makes its next call on the connection
it has, to the same node, and no call of grpc's closes one connection: it would be disturbed for nothing, by
every plan anew. `client.connection_age_max_s` mixes them, since it ends connections too.

A client moves at most once in `age_min_s`, since it is young where it comes to.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import floor

from coordinator.capacity import Budget, budget
from coordinator.drain_plan import ACTIVE, Refusal, Why, holds_back, leaving
from coordinator.members import Kind, View, alive, kind, receivers
from coordinator.settings import PlanSettings, RebalanceSettings
from coordinator.words import clients, counted
from protos.catalog_pb2 import NodeReport, NodeStep, Order, Plan
from protos.coordinator_pb2 import RebalanceRequest

# A plan may take so long, and three times as long as it should: not all sessions are old enough to go.
LIMIT_MIN_S = 30.0
_UNFINISHED = (NodeStep.ORDERED, NodeStep.SENDING)


def moves(reports: Iterable[NodeReport], settings: RebalanceSettings) -> dict[str, int]:
    """How many clients each node should send away, by name; empty if no node is too full.

    Args:
        reports: of every node in rotation.
        settings: see there.
    """
    counted = [report for report in _movable(reports) if report.capacity]
    share = shares(counted)
    slack = {
        r.name: max(settings.threshold_sessions, settings.threshold_relative * share[r.name]) for r in counted
    }
    above = {report.name: report.connections - share[report.name] for report in counted}
    sends: dict[str, float] = {}
    everybody_gets = 0.0
    while True:
        more = [name for name in above if name not in sends and above[name] + everybody_gets > slack[name]]
        if not more:
            break
        sends.update({name: above[name] - slack[name] / 2 for name in more})
        # All at once only by rounding: then nothing is gained by moving anybody.
        if len(sends) == len(counted):
            return {}
        everybody_gets = max(0.0, sum(sends.values())) / (len(counted) - len(sends))
    connections = {report.name: report.connections for report in counted}
    wanted_moves = {name: round(excess + everybody_gets) for name, excess in sends.items()}
    return {name: min(count, connections[name]) for name, count in wanted_moves.items() if count > 0}


def shares(reports: Iterable[NodeReport]) -> dict[str, float]:
    """By name, how many of all sessions each node would have if they went by capacity."""
    counted = _movable(reports)
    capacity = sum(report.capacity for report in counted)
    load = sum(report.connections for report in counted) / capacity if capacity else 0.0
    return {report.name: load * report.capacity for report in counted}


def _movable(reports: Iterable[NodeReport]) -> list[NodeReport]:
    return [report for report in reports if kind(report) is Kind.HTTP]


def plan_rebalance(
    request: RebalanceRequest,
    plan_id: str,
    view: View,
    plans: Sequence[Plan],
    now: float,
    settings: PlanSettings,
) -> Plan | Refusal:
    """A plan that evens out the load, or why there is none.

    Args:
        request: what was asked; `dry_run` is the caller's.
        plan_id: for the new plan.
        view: the cluster.
        plans: all there are.
        now: monotonic seconds.
        settings: see there.

    Returns:
        A plan that is REQUESTED.
    """
    if not 0 <= request.rate < float("inf"):
        return Refusal(Why.INVALID_ARGUMENT, "the rate must be a number of sessions per second")
    running = next((plan for plan in plans if plan.kind == Plan.REBALANCE and plan.state in ACTIVE), None)
    if running:
        return Refusal(Why.FAILED_PRECONDITION, f"plan {running.id} is evening out the load already")
    stay = _movable(receivers(view, now, settings.ttl_s, leaving(plans)))
    counts = moves(stay, settings.rebalance)
    if not counts:
        return Refusal(
            Why.FAILED_PRECONDITION, "the load is even: no node is above its band (gRPC nodes do not count)"
        )
    total = sum(counts.values())
    rate = _rate(request.rate, budget(stay, {}, settings))
    plan = Plan(id=plan_id, kind=Plan.REBALANCE, state=Plan.REQUESTED, rate=request.rate)
    for report in stay:
        if report.name in counts:
            plan.steps.add(
                node=report.name,
                instance=report.instance,
                state=NodeStep.PENDING,
                connections_before=report.connections,
                connections=report.connections,
                count=counts[report.name],
                ends_in_s=LIMIT_MIN_S + 3 * total / max(rate, 1.0),
            )
    net = sum(max(0.0, count - total / len(stay)) for count in counts.values())
    plan.note = (
        f"{counted(total, 'client leaves', 'clients leave')} {len(counts)} of {len(stay)} nodes"
        f" at up to {rate:.0f}/s; spread evenly over all, {net:.0f} of them end up on emptier ones"
    )
    return plan


def wanted(view: View, plans: Sequence[Plan], settings: PlanSettings, now: float, quiet_s: float) -> bool:
    """Should an automatic rebalance begin?

    Args:
        view: the cluster.
        plans: all there are; none may be active.
        settings: see there.
        now: monotonic seconds.
        quiet_s: since the last rebalance ended, or since this coordinator leads.
    """
    how = settings.rebalance
    if (
        not how.automatic
        or quiet_s < how.interval_s
        or any(plan.state in ACTIVE and (plan.kind == Plan.REBALANCE or holds_back(plan)) for plan in plans)
    ):
        return False
    return bool(moves(receivers(view, now, settings.ttl_s), how))


def describe(plan: Plan) -> str:
    """For a dry run: what would be moved, a line per node."""
    lines = [f"{step.node}: {step.count} of {clients(step.connections_before)}" for step in plan.steps]
    return "\n".join([plan.note, *lines])


def advance(plans: Sequence[Plan], view: View, now: float, elapsed_s: float, settings: PlanSettings) -> None:
    """Carry every rebalance on, in place; it waits while nodes leave."""
    for plan in plans:
        if plan.kind != Plan.REBALANCE:
            continue
        if plan.state == Plan.REQUESTED:
            plan.state = Plan.RUNNING
            for step in plan.steps:
                step.state = NodeStep.ORDERED
        elif plan.state in (Plan.RUNNING, Plan.CANCELLING):
            share = shares(receivers(view, now, settings.ttl_s, leaving(plans)))
            for step in plan.steps:
                step.running_s += elapsed_s
                step.ends_in_s -= 0.0 if _held(plans) else elapsed_s
                report = alive(view, step.node, now, settings.ttl_s)
                _carry_on(plan, step, report, share.get(step.node, 0.0), settings)
            _end(plan)


def set_rates(plans: Sequence[Plan], can_take: Budget) -> None:
    """Share what drains leave: all while there is none, nothing while there is one."""
    for plan in plans:
        if plan.kind != Plan.REBALANCE or plan.state != Plan.RUNNING:
            continue
        steps = [step for step in plan.steps if step.state in _UNFINISHED]
        left = {step.node: max(0, step.count - step.sent_away) for step in steps}
        rate = 0.0 if _held(plans) else _rate(plan.rate, can_take) / max(1, sum(left.values()))
        for step in steps:
            step.rate = rate * left[step.node]
            step.remaining_s = left[step.node] / step.rate if step.rate else 0.0
            step.note = "waits until no node is leaving" if _held(plans) else ""


def orders(plans: Sequence[Plan], view: View, now: float, settings: PlanSettings) -> Iterator[Order]:
    """Every order that is in force.

    A node that got to its share hears of that late. So no order is for more clients than take it there from
    where it was last seen: what it has sent since is among them.
    """
    share = shares(receivers(view, now, settings.ttl_s, leaving(plans)))
    for plan in plans:
        if plan.kind != Plan.REBALANCE or plan.state not in (Plan.RUNNING, Plan.CANCELLING):
            continue
        for step in plan.steps:
            if step.state not in _UNFINISHED:
                continue
            order = Order(node=step.node, instance=step.instance, plan_id=plan.id, action=Order.SERVE)
            if plan.state == Plan.RUNNING:
                order.action = Order.MOVE
                above = max(0, step.connections - floor(share.get(step.node, 0.0)))
                order.rate, order.pick = step.rate, plan.pick
                order.count = min(step.count, step.sent_away + above)
                order.age_min_s = settings.rebalance.age_min_s
            yield order


def _held(plans: Sequence[Plan]) -> bool:
    return any(plan.state == Plan.RUNNING and holds_back(plan) for plan in plans)


def _rate(asked: float, can_take: Budget) -> float:
    """Sessions per second to move."""
    return min(asked, can_take.paced) if asked else can_take.paced


def _carry_on(
    plan: Plan, step: NodeStep, report: NodeReport | None, share: float, settings: PlanSettings
) -> None:
    if step.state not in _UNFINISHED:
        return
    if report is None or report.instance != step.instance:
        step.state, step.note = NodeStep.FAILED, "vanished"
        return
    step.connections = report.connections
    ours = report.moving.plan_id == plan.id
    if ours:
        step.sent_away = report.moving.sent_away
    if plan.state == Plan.CANCELLING:
        # Told to stop until it says so, and long enough that an order on its way is overtaken.
        if (not ours and step.running_s >= settings.lag_s) or step.running_s >= settings.serve_limit_s:
            step.state = NodeStep.DONE
    elif report.state == NodeReport.LEAVING:
        step.state, step.note = NodeStep.DONE, "leaves altogether"
    elif ours and step.sent_away >= step.count:
        step.state, step.note = NodeStep.DONE, ""
    elif report.connections <= share:
        # Its clients were placed elsewhere instead of coming back evenly.
        step.state, step.note = NodeStep.DONE, "has its share already"
    elif step.ends_in_s <= 0:
        step.state = NodeStep.DONE
        step.note = (
            f"only {step.sent_away} of {counted(step.count, 'client was', 'clients were')} here long enough"
            " to be moved"
        )
    elif ours:
        step.state = NodeStep.SENDING


def _end(plan: Plan) -> None:
    if any(step.state in _UNFINISHED for step in plan.steps):
        return
    sent_away = sum(step.sent_away for step in plan.steps)
    moved = f"{counted(sent_away, 'client was', 'clients were')} moved"
    failed = [f"{step.node}: {step.note}" for step in plan.steps if step.state == NodeStep.FAILED]
    if plan.state == Plan.CANCELLING:
        plan.state = Plan.CANCELLED
    else:
        plan.state = Plan.FAILED if failed else Plan.DONE
    plan.note = "; ".join([moved, *failed])
