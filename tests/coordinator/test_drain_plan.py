"""What may be drained, and what is refused in which words."""

import pytest

from coordinator.drain_plan import Refusal, Why, leaving, plan_cancel, plan_drain, plan_of, plan_undrain
from coordinator.members import View
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import Leaving, NodeReport, NodeStep, Order, Plan
from protos.coordinator_pb2 import DrainRequest
from tests.coordinator.reports import NOW, report, view_of

SETTINGS = PlanSettings()
THREE = view_of(report("a"), report("b"), report("c"))
OWN = Leaving(phase=Leaving.SENDING, on_its_own=True, stop=True, ends_in_s=20)


def ask(view: View = THREE, plans: tuple[Plan, ...] = (), **request: object) -> Plan | Refusal:
    return plan_drain(DrainRequest(**request), "p", view, plans, NOW, SETTINGS)  # type: ignore[arg-type]


def planned(view: View = THREE, plans: tuple[Plan, ...] = (), **request: object) -> Plan:
    plan = ask(view, plans, **request)
    assert isinstance(plan, Plan), plan
    return plan


def refused(view: View = THREE, plans: tuple[Plan, ...] = (), **request: object) -> Refusal:
    refusal = ask(view, plans, **request)
    assert isinstance(refusal, Refusal), refusal
    return refusal


def test_a_plan_says_what_was_asked_and_how_long_it_takes() -> None:
    """It is written down as REQUESTED, with what it found."""
    plan = planned(nodes=["a"], deadline_s=90, stop=True, pick=Order.LARGEST_FIRST)
    assert (plan.id, plan.kind, plan.state) == ("p", Plan.DRAIN, Plan.REQUESTED)
    assert (plan.deadline_s, plan.stop, plan.pick) == (90, True, Order.LARGEST_FIRST)
    (step,) = plan.steps
    assert (step.node, step.instance, step.state) == ("a", "a-1", NodeStep.PENDING)
    assert (step.connections, step.connections_before) == (1000, 1000)
    assert plan.note == "1000 clients to 2 nodes: about 17 s of 90 s"
    assert planned(nodes=["a"]).deadline_s == 60


@pytest.mark.parametrize(
    ("request_", "why", "words"),
    [
        ({"nodes": ["x"]}, Why.NOT_FOUND, "no living node is called x; there are: a, b, c"),
        ({"nodes": ["a", "a"]}, Why.INVALID_ARGUMENT, "named twice"),
        ({}, Why.INVALID_ARGUMENT, "name the nodes"),
        ({"nodes": ["a"], "all": True}, Why.INVALID_ARGUMENT, "not both"),
        ({"nodes": ["a"], "deadline_s": -1}, Why.INVALID_ARGUMENT, "positive"),
        ({"nodes": ["a"], "deadline_s": float("nan")}, Why.INVALID_ARGUMENT, "positive"),
        ({"nodes": ["a"], "deadline_s": float("inf")}, Why.INVALID_ARGUMENT, "positive"),
        ({"all": True}, Why.FAILED_PRECONDITION, "no other node would be left"),
        ({"nodes": ["a"], "deadline_s": 16}, Why.FAILED_PRECONDITION, "at least 17 s"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(request_: dict[str, object], why: Why, words: str) -> None:
    """The words say what can be done instead."""
    refusal = refused(**request_)
    assert refusal.why is why
    assert words in refusal.words


def test_the_shortest_deadline_that_is_named_is_accepted() -> None:
    """And one second less is not."""
    planned(nodes=["a"], deadline_s=17)
    refused(nodes=["a"], deadline_s=16)


def test_clients_cannot_go_to_a_node_of_another_kind() -> None:
    """The last node that serves WebSockets is the last one, whatever serves gRPC beside it."""
    other = report("g", transport="grpc")
    assert "no other node would be left" in refused(view_of(report("a"), other), nodes=["a"]).words
    assert planned(view_of(report("a"), report("b"), other), nodes=["a"]).note.startswith(
        "1000 clients to 1 node:"
    )


def test_a_drain_of_both_kinds_is_as_slow_as_the_slower_one() -> None:
    """Each kind's clients go to its own nodes, and only the drains of that kind come before them."""
    http = [report("a"), report("b"), report("c")]
    grpc = [report(name, transport="grpc") for name in ("g", "h")]
    view = view_of(*http, *grpc)
    assert planned(view, nodes=["a", "g"]).note == (
        "the slower kind of node has 1000 clients to 1 node: about 26 s of 60 s"
    )
    running = Plan(id="o", kind=Plan.DRAIN, state=Plan.RUNNING)
    running.steps.add(node="g", instance="g-1", state=NodeStep.SENDING, connections=1000)
    assert planned(view, (running,), nodes=["a"]).note == planned(view, nodes=["a"]).note
    assert "no other node would be left" in refused(view, nodes=["a", "g", "h"]).words
    assert "no other node would be left" in refused(view, (running,), nodes=["h"]).words


def test_more_clients_than_room_are_refused_with_the_figures() -> None:
    """Before anyone is sent away."""
    view = view_of(report("a", 5_000), report("b", 7_000), report("c", 9_000))
    assert "5000 clients would have to go, and the other nodes have room for 4000" in (
        refused(view, nodes=["a"], deadline_s=600).words
    )


def test_force_takes_what_would_be_refused() -> None:
    """The last node, no room, no time: but not an unknown node."""
    assert "forced" in planned(all=True, force=True).note
    planned(nodes=["a"], deadline_s=1, force=True)
    assert refused(nodes=["x"], force=True).why is Why.NOT_FOUND


def test_a_rolling_drain_puts_nodes_back_unless_it_stops_them() -> None:
    """Otherwise the next one could never leave."""
    assert planned(all=True, unavailable_max=1).resume
    assert not planned(all=True, unavailable_max=1, stop=True).resume
    assert not planned(nodes=["a"], unavailable_max=1).resume
    assert planned(nodes=["a"], resume=True).resume


def test_a_rolling_drain_reckons_with_the_clients_of_those_before() -> None:
    """The last of three has its own thousand, half of the first one's and three quarters of the second's."""
    plan = planned(all=True, unavailable_max=1)
    assert plan.note.startswith("the slowest step has 2250 clients to 2 nodes: about 28 s")


def test_clients_that_come_by_themselves_make_it_slower() -> None:
    """While nobody is sent away, all arrivals are of that kind."""
    busy = [report("a"), report("b"), report("c")]
    for each in busy:
        each.connect_rate = 55
    assert "about 26 s" in planned(view_of(*busy), nodes=["a"]).note


def test_one_node_is_in_one_plan() -> None:
    """Until the plan has ended, or the node's part in it."""
    plan = planned(nodes=["a"])
    assert "a is part of plan p; cancel that one" in (
        plan_drain(DrainRequest(nodes=["a"]), "q", THREE, [plan], NOW, SETTINGS).words  # type: ignore[union-attr]
    )
    plan.steps[0].state = NodeStep.DONE
    assert isinstance(plan_drain(DrainRequest(nodes=["a"]), "q", THREE, [plan], NOW, SETTINGS), Plan)


def test_all_leaves_out_who_is_leaving() -> None:
    """What is asked is that nobody stays; they do not."""
    view = view_of(report("a", leaving=OWN), report("b"), report("c"))
    assert [step.node for step in planned(view, all=True, force=True).steps] == ["b", "c"]
    alone = view_of(report("a", leaving=OWN))
    assert "not leaving already" in refused(alone, all=True).words
    assert "told to stop" in refused(view, nodes=["a"]).words


def test_two_drains_leave_someone_to_take_the_clients() -> None:
    """The nodes of another plan do not count as receivers, although they still serve."""
    other = Plan(id="o", kind=Plan.DRAIN, state=Plan.RUNNING)
    other.steps.add(node="b", instance="b-1", state=NodeStep.ORDERED)
    other.steps.add(node="c", instance="c-1", state=NodeStep.ORDERED)
    assert "no other node would be left" in refused(plans=(other,), nodes=["a"]).words
    assert leaving([other]) == {"b-1", "c-1"}


def test_the_nodes_of_a_rolling_drain_take_clients_until_their_turn() -> None:
    """Those of one that takes all at once do not, from the moment it is asked for."""
    assert leaving([planned(nodes=["a", "b"])]) == {"a-1", "b-1"}
    assert leaving([planned(all=True, unavailable_max=1)]) == set()


def test_an_undrain_is_a_plan_of_its_own() -> None:
    """Written like any other, it outlives the coordinator that was asked."""
    drained = view_of(report("a", 0, leaving=Leaving(phase=Leaving.EMPTY)), report("b"))
    plan = plan_undrain("a", "u", drained, [], NOW, SETTINGS)
    assert isinstance(plan, Plan)
    assert (plan.state, plan.note, plan.steps[0].instance) == (Plan.CANCELLING, "undrain a", "a-1")


def test_only_what_is_drained_can_be_undrained() -> None:
    """Unknown nodes, serving ones and those whose process was told to stop cannot."""
    for view, node, why in (
        (THREE, "x", Why.NOT_FOUND),
        (THREE, "a", Why.FAILED_PRECONDITION),
        (view_of(report("a", leaving=OWN)), "a", Why.FAILED_PRECONDITION),
    ):
        refusal = plan_undrain(node, "u", view, [], NOW, SETTINGS)
        assert isinstance(refusal, Refusal)
        assert refusal.why is why
    assert isinstance(plan_undrain("a", "u", THREE, [planned(nodes=["a"])], NOW, SETTINGS), Plan)


def test_a_plan_can_be_cancelled_until_it_has_ended() -> None:
    """Not what a node does on its own; the given plan stays as it is."""
    plan = planned(nodes=["a"])
    cancelling = plan_cancel(plan)
    assert isinstance(cancelling, Plan)
    assert (plan.state, cancelling.state) == (Plan.REQUESTED, Plan.CANCELLING)
    plan.state = Plan.DONE
    assert isinstance(plan_cancel(plan), Refusal)
    assert isinstance(plan_cancel(Plan(state=Plan.RUNNING, on_its_own=True)), Refusal)


def test_a_drain_of_no_clients_needs_no_receiver_with_room() -> None:
    """An empty node may leave a full cluster."""
    view = view_of(report("a", 0), report("b", 10_000))
    assert planned(view, nodes=["a"]).steps[0].connections == 0


def test_a_node_that_is_not_ready_can_be_drained() -> None:
    """It has clients, and takes no new ones."""
    unready = report("a")
    unready.state = NodeReport.NOT_READY
    assert plan_of("a-1", [planned(view_of(unready, report("b")), nodes=["a"])]) is not None
