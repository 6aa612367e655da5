"""What becomes of each node of a drain: its states, as a table, and what a node's report means for them.
Pure.

A step is carried from state to state by what can be seen of its node; what may be sent away per second is
not decided here.
"""

from enum import Enum, auto

from coordinator.members import View, living
from coordinator.settings import PlanSettings
from coordinator.words import clients
from protos.catalog_pb2 import Leaving, NodeReport, NodeStep, Plan

UNFINISHED = (NodeStep.ORDERED, NodeStep.WAITING, NodeStep.SENDING, NodeStep.RETURNING)
SENDERS = (NodeStep.ORDERED, NodeStep.WAITING, NodeStep.SENDING)
# A node that ends with more clients than it sends away in this time did not end as planned.
LAST_REPORT_S = 3.0


class Sight(Enum):
    """What can be seen of a step's node."""

    STAYS = auto()  # alive, and not leaving
    WAITS = auto()  # out of rotation, for arrivals to stop
    SENDS = auto()
    EMPTY = auto()  # nobody is left: the drain of this node is done
    STOPS = auto()  # nobody is left, and the process is to end
    RESUMES = auto()  # nobody is left, and it is to take new sessions again
    SILENT = auto()  # in the catalog, but not heard for its time to live
    GONE = auto()  # not in the catalog, and with clients when it was last seen
    ANEW = auto()  # another instance has its name, and this one had clients when it was last seen
    ENDED = auto()  # gone or anew, as it was to be: the process was to end and was nearly empty
    AWAITED = auto()  # the same, and one in its place must be there before the next leaves
    # Of a node that leaves because it is cut off from NATS:
    HELD = auto()  # nobody is left, and it still is
    BACK = auto()  # it is not any more, and is to take new sessions again
    LOST = auto()  # gone or anew: there is nothing more to do for it


P, O, W, S = NodeStep.PENDING, NodeStep.ORDERED, NodeStep.WAITING, NodeStep.SENDING  # noqa: E741 - a table
D, F, R = NodeStep.DONE, NodeStep.FAILED, NodeStep.RETURNING

# The next state, by what is seen (a row) and the state (PENDING, ORDERED, WAITING, SENDING).
NEXT: dict[Sight, dict[NodeStep.State, NodeStep.State]] = {
    Sight.STAYS: {P: P, O: O, W: O, S: O},
    Sight.WAITS: {P: O, O: W, W: W, S: W},
    Sight.SENDS: {P: O, O: S, W: S, S: S},
    Sight.EMPTY: {P: O, O: D, W: D, S: D},
    Sight.STOPS: {P: O, O: S, W: S, S: S},
    Sight.RESUMES: {P: O, O: R, W: R, S: R},
    Sight.SILENT: {P: P, O: O, W: W, S: S},
    Sight.GONE: {P: D, O: O, W: W, S: S},
    Sight.ANEW: {P: D, O: F, W: F, S: F},
    Sight.ENDED: {P: D, O: D, W: D, S: D},
    Sight.AWAITED: {P: D, O: R, W: R, S: R},
    Sight.HELD: {P: P, O: S, W: S, S: S},
    Sight.BACK: {P: D, O: R, W: R, S: R},
    Sight.LOST: {P: D, O: D, W: D, S: D},
}

_NOTES = {
    Sight.SILENT: "silent, with {clients} when it was last heard",
    Sight.GONE: "vanished, with {clients} when it was last heard",
    Sight.ANEW: "was started anew while it had {clients} to send away",
    Sight.STOPS: "empty, the process is ending",
    Sight.HELD: "empty; takes clients again when it is not cut off any more",
}


def rolling(plan: Plan) -> bool:
    """Not all nodes leave together."""
    return 0 < plan.unavailable_max < len(plan.steps)


def report_of(step: NodeStep, view: View) -> NodeReport | None:
    """What the node of a step said last, if it is still the same process."""
    member = view.members.get(step.node)
    return member.report if member and member.report.instance == step.instance else None


def stops(plan: Plan, step: NodeStep, view: View) -> bool:
    """Whether the process of a step's node ends when it is empty: for its plan, or told to by a signal."""
    last = _last_report(step, view)
    return plan.stop or (last is not None and last.leaving.stop)


def sight(plan: Plan, step: NodeStep, view: View, now: float, settings: PlanSettings) -> Sight:
    """What can be seen of the node of a step."""
    report = report_of(step, view)
    if report is None:
        if plan.cut_off:
            return Sight.LOST
        if _ended_as_planned(plan, step, view, settings):
            waits = rolling(plan) and any(other.state == P for other in plan.steps)
            return Sight.AWAITED if waits else Sight.ENDED
        return Sight.ANEW if step.node in view.members else Sight.GONE
    if now - view.members[step.node].heard_at >= settings.ttl_s:
        return Sight.SILENT
    if plan.cut_off and not report.broker_outage:
        return Sight.BACK
    if report.state != NodeReport.LEAVING or (report.leaving.cut_off and not plan.cut_off):
        # The other way of leaving has not been overtaken by this plan's order yet.
        return Sight.STAYS
    if report.leaving.phase == Leaving.EMPTY:
        if plan.cut_off:
            return Sight.HELD
        ends = stops(plan, step, view)
        return Sight.STOPS if ends else Sight.RESUMES if plan.resume else Sight.EMPTY
    return Sight.SENDS if report.leaving.phase == Leaving.SENDING else Sight.WAITS


def advance(
    plan: Plan, step: NodeStep, view: View, now: float, elapsed_s: float, settings: PlanSettings
) -> None:
    """Carry one step of a running drain on, in place: time, counts, state and note.

    Args:
        plan: the step's plan; a plan is given as a copy that may be changed.
        step: one of its steps.
        view: the cluster.
        now: monotonic seconds.
        elapsed_s: since the last time.
        settings: see there.
    """
    if step.running_s or step.state in UNFINISHED:
        step.running_s += elapsed_s
    if step.state in (D, F):
        return
    if step.state == R:
        _await_return(plan, step, view, now, elapsed_s, settings)
        return
    if step.state in SENDERS:
        step.ends_in_s -= elapsed_s
        _count(plan, step, view)
    saw = sight(plan, step, view, now, settings)
    before = step.state
    after = NEXT[saw][step.state]
    if saw in (Sight.ENDED, Sight.AWAITED) and before != P:
        _count_last(step)
    if before == P and after == O:
        order(plan, step, view)
    step.state = after
    step.note = _NOTES.get(saw, "").format(clients=clients(step.connections)) if after != D else ""
    if after in SENDERS:
        _judge(step, saw, settings)
    if before == P and after == D:
        step.note = "was started anew meanwhile" if step.node in view.members else "is gone"
    if after == R:
        step.ends_in_s = settings.return_limit_s
    if after not in SENDERS:
        step.rate = step.remaining_s = 0.0


def order(plan: Plan, step: NodeStep, view: View) -> None:
    """The turn of a pending step has come: from now on its node is ordered to leave."""
    step.state = NodeStep.ORDERED
    step.ends_in_s = plan.deadline_s
    report = report_of(step, view)
    if report:
        step.connections_before = step.connections = report.connections


def _last_report(step: NodeStep, view: View) -> NodeReport | None:
    return report_of(step, view) or view.departed.get(step.instance)


def _ended_as_planned(plan: Plan, step: NodeStep, view: View, settings: PlanSettings) -> bool:
    """It was empty, or it was to end and nearly so, or at its deadline.

    That is decided when it disappears: who has been missing for longer has no rate any more.
    """
    at_deadline = step.rate > 0 and step.ends_in_s <= settings.lag_s
    nearly = step.connections <= step.rate * LAST_REPORT_S
    ends = stops(plan, step, view)
    return step.state in SENDERS and (step.connections == 0 or (ends and (nearly or at_deadline)))


def _count(plan: Plan, step: NodeStep, view: View) -> None:
    report = _last_report(step, view)
    if report is None:
        return
    step.connections = report.connections
    if report.state != NodeReport.LEAVING:
        return
    if report.leaving.phase == Leaving.WAITING:
        # Those who came until its order reached it are sent away too.
        step.connections_before = max(step.connections_before, report.connections)
    if not report.leaving.plan_id and not report.leaving.on_its_own:
        # It went on while nobody led. A node that is empty since an earlier plan had none to send away.
        step.sent_away = max(step.sent_away, min(report.leaving.sent_away, step.connections_before))
        return
    if report.leaving.plan_id != plan.id and not report.leaving.on_its_own:
        return
    step.sent_away = report.leaving.sent_away
    if report.leaving.ends_in_s > 0:
        # The node keeps the deadline it heard first, also through a time without a leader.
        step.ends_in_s = min(step.ends_in_s, report.leaving.ends_in_s)


def _count_last(step: NodeStep) -> None:
    """The clients of its last report were sent away too: it ends with the last one and says no more."""
    step.sent_away = max(step.sent_away, min(step.sent_away + step.connections, step.connections_before))
    step.connections = 0


def _judge(step: NodeStep, saw: Sight, settings: PlanSettings) -> None:
    """Say that a node does not obey, and give it up when its time is long over."""
    if saw is Sight.STAYS and step.running_s >= settings.obey_s:
        step.note = f"has not obeyed for {step.running_s:.0f} s"
    if step.ends_in_s <= -settings.overdue_s:
        step.state = NodeStep.FAILED
        why = step.note or f"has {clients(step.connections)} left"
        step.note = f"{why}; its deadline is over by {-step.ends_in_s:.0f} s"


def _await_return(
    plan: Plan, step: NodeStep, view: View, now: float, elapsed_s: float, settings: PlanSettings
) -> None:
    step.ends_in_s -= elapsed_s
    if plan.cut_off:
        _await_obedience(step, view, settings)
        return
    serving = [r for r in living(view, now, settings.ttl_s) if r.state == NodeReport.SERVING]
    ends = stops(plan, step, view)
    if ends:
        # Whoever was started since the plan began is there instead of one that left: names may change.
        ours = {other.instance for other in plan.steps}
        age_s = max(other.running_s for other in plan.steps)
        new = sum(r.instance not in ours and r.uptime_s < age_s for r in serving)
        done = [other for other in plan.steps if other.state == D and other.running_s > 0]
        replaced = sum(report_of(other, view) is None for other in done)
        back = new > replaced
    else:
        back = any(r.instance == step.instance for r in serving)
    if back:
        step.state, step.note = NodeStep.DONE, ""
    elif step.ends_in_s <= 0:
        step.state = NodeStep.FAILED
        step.note = f"did not come back within {settings.return_limit_s:.0f} s"
    else:
        step.note = "waits for one in its place" if ends else "goes back into rotation"


def _await_obedience(step: NodeStep, view: View, settings: PlanSettings) -> None:
    """A node that was cut off is back, and told so for long enough to overtake an order to leave."""
    report = report_of(step, view)
    told_for_s = settings.return_limit_s - step.ends_in_s
    if report is None or (report.state != NodeReport.LEAVING and told_for_s >= settings.lag_s):
        step.state, step.note = NodeStep.DONE, ""
    elif step.ends_in_s <= 0:
        step.state = NodeStep.FAILED
        step.note = f"did not go back into rotation within {settings.return_limit_s:.0f} s"
    else:
        step.note = "goes back into rotation"
