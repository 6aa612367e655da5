"""What becomes of a node of a drain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.drain_steps import NEXT, SENDERS, Sight, advance, sight
from coordinator.members import View, gone, seen
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import Leaving, NodeReport, NodeStep, Plan
from tests.coordinator.reports import NOW, report, view_of

SETTINGS = PlanSettings()
WAITING = Leaving(phase=Leaving.WAITING, plan_id="p", ends_in_s=50)
SENDING = Leaving(phase=Leaving.SENDING, plan_id="p", ends_in_s=40, sent_away=7)
EMPTY = Leaving(phase=Leaving.EMPTY, plan_id="p", ends_in_s=30, sent_away=1000)


def plan_of(state: NodeStep.State, *, others: int = 0, **how: object) -> Plan:
    plan = Plan(id="p", kind=Plan.DRAIN, state=Plan.RUNNING, deadline_s=60, **how)  # type: ignore[arg-type]
    plan.steps.add(node="a", instance="a-1", state=state, connections=1000, ends_in_s=60)
    for index in range(others):
        plan.steps.add(node=f"other-{index}", instance=f"other-{index}-1", state=NodeStep.PENDING)
    return plan


def carried_on(plan: Plan, view: View, *, now: float = NOW, elapsed_s: float = 0.5) -> NodeStep:
    step = plan.steps[0]
    advance(plan, step, view, now, elapsed_s, SETTINGS)
    return step


def test_every_sight_has_a_next_state_for_every_state() -> None:
    """The table has no holes."""
    for row in NEXT.values():
        assert set(row) == {NodeStep.PENDING, *SENDERS}
    assert set(NEXT) == set(Sight)


@pytest.mark.parametrize(
    ("node", "how", "state"),
    [
        (report("a"), {}, NodeStep.ORDERED),
        (report("a", leaving=WAITING), {}, NodeStep.WAITING),
        (report("a", leaving=SENDING), {}, NodeStep.SENDING),
        (report("a", 0, leaving=EMPTY), {}, NodeStep.DONE),
        (report("a", 0, leaving=EMPTY), {"stop": True}, NodeStep.SENDING),
        (report("a", 0, leaving=EMPTY), {"resume": True}, NodeStep.RETURNING),
        (report("a", instance="a-2"), {}, NodeStep.FAILED),
    ],
    ids=["stays", "waits", "sends", "empty", "empty, to stop", "empty, to resume", "started anew"],
)
def test_an_ordered_node_is_carried_on_by_its_report(
    node: NodeReport, how: dict[str, bool], state: NodeStep.State
) -> None:
    """From ordered to wherever its report says it is."""
    assert carried_on(plan_of(NodeStep.ORDERED, **how), view_of(node)).state == state


def test_counts_and_deadline_come_from_the_node() -> None:
    """Its deadline is the earlier one when a time without a leader went by."""
    step = carried_on(plan_of(NodeStep.SENDING), view_of(report("a", 300, leaving=SENDING)))
    assert (step.connections, step.sent_away) == (300, 7)
    assert step.ends_in_s == 40
    assert step.running_s == 0.5


def test_who_is_sent_away_while_nobody_leads_is_counted() -> None:
    """A leader was silent, and the node went on: its report names no plan, and counts all the same."""
    plan = plan_of(NodeStep.WAITING)
    carried_on(plan, view_of(report("a", 1100, leaving=WAITING)))
    alone = Leaving(phase=Leaving.EMPTY, sent_away=1100, ends_in_s=30)
    step = carried_on(plan, view_of(report("a", 0, leaving=alone)))
    assert (step.state, step.sent_away, step.connections_before) == (NodeStep.DONE, 1100, 1100)


def test_what_an_earlier_plan_sent_away_is_not_counted_again() -> None:
    """A node that was emptied before is empty: this plan sends nobody."""
    emptied = Leaving(phase=Leaving.EMPTY, sent_away=1000)
    step = carried_on(plan_of(NodeStep.ORDERED), view_of(report("a", 0, leaving=emptied)))
    assert (step.state, step.sent_away) == (NodeStep.DONE, 0)


def test_those_of_the_last_report_count_as_sent_away() -> None:
    """A node that is told to stop ends with its last client, and does not report that."""
    plan = plan_of(NodeStep.SENDING, stop=True)
    plan.steps[0].connections_before, plan.steps[0].rate = 60, 100
    sending = Leaving(phase=Leaving.SENDING, plan_id="p", sent_away=25, ends_in_s=40)
    view = view_of(report("a", 40, leaving=sending))
    carried_on(plan, view)
    step = carried_on(plan, gone(view, "a"))
    assert (step.state, step.sent_away, step.connections) == (NodeStep.DONE, 60, 0)


def test_a_node_that_ends_empty_is_done() -> None:
    """Told to stop, empty in its last report: that it vanished is what was wanted."""
    plan = plan_of(NodeStep.SENDING, stop=True)
    view = view_of(report("a", 0, leaving=EMPTY))
    assert carried_on(plan, view).note == "empty, the process is ending"
    assert carried_on(plan, gone(view, "a")).state == NodeStep.DONE


def test_the_last_report_counts_although_nobody_looked() -> None:
    """It came and the node went between two steps."""
    view = gone(view_of(report("a", 0, leaving=EMPTY)), "a")
    assert carried_on(plan_of(NodeStep.SENDING, stop=True), view).state == NodeStep.DONE


def test_a_node_that_ends_between_two_reports_is_done() -> None:
    """It says goodbye: what it had left is no more than it sends away in the meantime."""
    plan = plan_of(NodeStep.SENDING, stop=True)
    plan.steps[0].rate = 400
    assert carried_on(plan, View()).state == NodeStep.DONE


def test_a_node_that_gets_a_signal_in_a_drain_ends_as_planned() -> None:
    """The drain was not to end it, and its last word was that it is to end now: that is no failure."""
    plan = plan_of(NodeStep.SENDING)
    plan.steps[0].rate = 100
    told = Leaving(phase=Leaving.SENDING, plan_id="p", ends_in_s=17, on_its_own=True, stop=True)
    view = view_of(report("a", 58, leaving=told))
    assert carried_on(plan, view).state == NodeStep.SENDING
    assert carried_on(plan, gone(view, "a")).state == NodeStep.DONE


def test_a_node_that_gets_a_signal_in_a_rolling_drain_is_waited_for_in_another() -> None:
    """It was to resume and cannot: one in its place does, and those that resumed themselves need none."""
    plan = plan_of(NodeStep.SENDING, resume=True, others=2, unavailable_max=1)
    plan.steps[1].state, plan.steps[0].running_s, plan.steps[1].running_s = NodeStep.DONE, 20, 40
    stopping = Leaving(phase=Leaving.EMPTY, plan_id="p", on_its_own=True, stop=True)
    returned = report("other-0", uptime_s=500)
    view = view_of(report("a", 0, leaving=stopping), returned)
    assert carried_on(plan, view).note == "empty, the process is ending"
    assert carried_on(plan, gone(view, "a")).state == NodeStep.RETURNING
    assert carried_on(plan, gone(view, "a")).note == "waits for one in its place"
    anew = seen(view, report("a", 0, instance="a-2", uptime_s=2), NOW)
    assert carried_on(plan, anew).state == NodeStep.DONE


def test_a_node_that_vanishes_with_clients_is_waited_for_until_its_deadline() -> None:
    """It may come back; then the step goes on, otherwise it fails and says with how many."""
    plan = plan_of(NodeStep.SENDING, stop=True)
    step = carried_on(plan, View())
    assert step.state == NodeStep.SENDING
    assert step.note == "vanished, with 1000 clients when it was last heard"
    assert carried_on(plan, View(), elapsed_s=69).state == NodeStep.SENDING
    assert carried_on(plan, View(), elapsed_s=2).state == NodeStep.FAILED
    assert step.note.startswith("vanished, with 1000 clients")


def test_a_silent_node_is_said_to_be_silent() -> None:
    """It hangs, or its link is cut; its clients may still be there."""
    view = view_of(report("a", leaving=SENDING))
    step = carried_on(plan_of(NodeStep.SENDING), view, now=NOW + 6)
    assert step.state == NodeStep.SENDING
    assert step.note.startswith("silent")


def test_a_node_that_does_not_obey_is_named_and_given_up_after_its_deadline() -> None:
    """Orders it ignores do not hold a plan up for ever."""
    plan = plan_of(NodeStep.ORDERED)
    assert not carried_on(plan, view_of(report("a")), elapsed_s=4).note
    assert carried_on(plan, view_of(report("a")), elapsed_s=2).note == "has not obeyed for 6 s"
    step = carried_on(plan, view_of(report("a")), elapsed_s=64)
    assert step.state == NodeStep.FAILED
    assert step.note == "has not obeyed for 70 s; its deadline is over by 10 s"


def test_a_node_that_was_restarted_before_its_turn_needs_no_drain() -> None:
    """Its clients are gone already, and the new process is not meant."""
    step = carried_on(plan_of(NodeStep.PENDING), view_of(report("a", instance="a-2")))
    assert (step.state, step.note) == (NodeStep.DONE, "was started anew meanwhile")
    step = carried_on(plan_of(NodeStep.PENDING), View())
    assert (step.state, step.note) == (NodeStep.DONE, "is gone")


def test_a_node_that_leaves_before_its_turn_is_in_turn() -> None:
    """It is out of rotation already."""
    step = carried_on(plan_of(NodeStep.PENDING, others=3), view_of(report("a", leaving=WAITING)))
    assert step.state == NodeStep.ORDERED
    assert step.ends_in_s == 60


def test_resuming_waits_until_the_node_serves() -> None:
    """Back in rotation is what its report says, not what it was told."""
    plan = plan_of(NodeStep.RETURNING, resume=True, others=1, unavailable_max=1)
    assert carried_on(plan, view_of(report("a", 0, leaving=EMPTY))).state == NodeStep.RETURNING
    assert carried_on(plan, view_of(report("a", 0))).state == NodeStep.DONE


def test_a_stopped_node_is_replaced_by_one_that_was_started_since() -> None:
    """Under whatever name; those who were there before do not count, nor does one replacement for two."""
    plan = plan_of(NodeStep.SENDING, stop=True, others=2, unavailable_max=1)
    plan.steps[0].connections = 0
    plan.steps[0].running_s = 20
    old = report("b", uptime_s=500)
    assert carried_on(plan, view_of(old)).state == NodeStep.RETURNING
    assert carried_on(plan, view_of(old)).note == "waits for one in its place"
    new = report("c", uptime_s=5)
    assert carried_on(plan, view_of(old, new)).state == NodeStep.DONE
    second = plan.steps[1]
    second.state, second.running_s, second.ends_in_s = NodeStep.RETURNING, 10, 100
    advance(plan, second, view_of(old, new), NOW, 0.5, SETTINGS)
    assert second.state == NodeStep.RETURNING
    advance(plan, second, view_of(old, new, report("d", uptime_s=1)), NOW, 0.5, SETTINGS)
    assert second.state == NodeStep.DONE


def test_a_node_that_does_not_come_back_fails() -> None:
    """A rolling drain does not wait for ever, and does not go on either."""
    plan = plan_of(NodeStep.RETURNING, resume=True)
    step = carried_on(plan, view_of(report("a", 0, leaving=EMPTY)), elapsed_s=300)
    assert (step.state, step.note) == (NodeStep.FAILED, "did not come back within 300 s")


PHASES = st.sampled_from([None, WAITING, SENDING, EMPTY])


@given(
    st.lists(st.tuples(PHASES, st.integers(0, 3), st.booleans(), st.floats(0, 20)), min_size=60, max_size=60),
    st.booleans(),
    st.booleans(),
)
def test_no_step_lasts_for_ever(
    seen: list[tuple[Leaving | None, int, bool, float]], stop: bool, resume: bool
) -> None:
    """Whatever a node reports or does not: its deadlines end every step, and an ended step stays so."""
    plan = plan_of(NodeStep.ORDERED, stop=stop, resume=resume and not stop)
    step = plan.steps[0]
    ended_with = None
    for leaving, instance, there, elapsed_s in [*seen, *[(None, 1, True, 20.0)] * 30]:
        view = view_of(report("a", 5, instance=f"a-{max(1, instance)}", leaving=leaving)) if there else View()
        assert sight(plan, step, view, NOW, SETTINGS) in Sight
        advance(plan, step, view, NOW, elapsed_s, SETTINGS)
        assert ended_with in (None, step.state)
        if step.state in (NodeStep.DONE, NodeStep.FAILED):
            ended_with = step.state
    assert ended_with is not None
