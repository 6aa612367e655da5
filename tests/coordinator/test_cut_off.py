"""Nodes that are cut off from NATS: whose clients are sent where, and until when."""

from collections.abc import Sequence
from random import Random

import pytest

from coordinator.cut_off import DEADLINE_S, takers
from coordinator.drain_plan import plan_cancel, plan_drain, plan_undrain
from coordinator.members import Kind
from coordinator.placement import Placement
from coordinator.rebalance_plan import wanted
from coordinator.settings import PlanSettings, RebalanceSettings
from protos.catalog_pb2 import Leaving, NodeReport, NodeStep, Order, Plan
from protos.coordinator_pb2 import DrainRequest
from tests.coordinator.reports import NOW, report, view_of
from tests.coordinator.test_plans import SETTINGS, Leader

ID = "lost-a-1-1"


def lost(
    name: str = "a",
    connections: int = 1000,
    *,
    seconds: float = 12.0,
    outage: int = 1,
    leaving: Leaving | None = None,
    transport: str = "websocket",
) -> NodeReport:
    """What a node says that is cut off; it leaves for that reason unless `leaving` says otherwise."""
    made = report(name, connections, leaving=leaving, transport=transport)
    made.broker_lost_s, made.broker_outage = seconds, outage
    if not leaving:
        made.state = NodeReport.NOT_READY
    return made


def going(phase: Leaving.Phase = Leaving.SENDING, **fields: object) -> Leaving:
    return Leaving(phase=phase, plan_id=ID, cut_off=True, ends_in_s=DEADLINE_S, **fields)  # type: ignore[arg-type]


def sending(connections: int = 1000) -> Leader:
    """A leader whose node a is cut off and sends its clients away."""
    leader = Leader(lost(), report("b"), report("c"))
    leader.step()
    leader.hear(lost(connections=connections, leaving=going()))
    leader.step(2)
    return leader


def test_its_clients_are_sent_to_the_others() -> None:
    """One order to leave, at the normal pace, without a deadline that anyone would notice."""
    leader = sending()
    (plan,) = leader.plans
    assert (plan.id, plan.state, plan.cut_off, plan.stop) == (ID, Plan.RUNNING, True, False)
    assert plan.note == "a is cut off from NATS: its clients are sent to other nodes"
    order = leader.step()["a"]
    assert (order.action, order.cut_off, order.stop, order.plan_id) == (Order.DRAIN, True, False, ID)
    assert order.rate == pytest.approx(2 * 70)
    assert order.ends_in_s > 0.99 * DEADLINE_S


@pytest.mark.parametrize(
    "others",
    [
        [],
        [lost("b")],
        [lost("b", seconds=3.0, outage=0)],
        [lost("b", seconds=0.0)],
        [report("b", 10_000)],
        [report("b", leaving=Leaving())],
        [report("b", transport="grpc")],
    ],
    ids=["nobody", "lost", "in doubt", "just back", "full", "leaving", "another kind"],
)
def test_where_nobody_is_better_off_it_keeps_them(others: Sequence[NodeReport]) -> None:
    """No plan, no order: the node is not even taken out of rotation."""
    leader = Leader(lost(), *others)
    if others and others[0].state == NodeReport.NOT_READY and not others[0].broker_outage:
        # Below its limit it still serves.
        others[0].state = NodeReport.SERVING
    assert leader.step(5) == {}
    assert leader.plans == []


def test_who_can_take_clients_is_asked_of_each_kind() -> None:
    """Clients of one kind are none the better for nodes of the other."""
    view = view_of(report("a"), lost("b", transport="grpc"))
    assert takers([], view, NOW, SETTINGS) == {Kind.HTTP}


@pytest.mark.parametrize(
    "node",
    [
        lost(seconds=9.0, outage=0),
        lost(seconds=0.0),
        lost(connections=0),
        lost(leaving=Leaving(phase=Leaving.EMPTY)),
        lost(leaving=Leaving(on_its_own=True, phase=Leaving.EMPTY)),
    ],
    ids=["below its limit", "back already", "without clients", "drained by hand", "stopping"],
)
def test_others_are_left_alone(node: NodeReport) -> None:
    """Above all a node that somebody drained: it would come back with its broker."""
    leader = Leader(node, report("b"))
    leader.step(3)
    assert not any(plan.cut_off for plan in leader.plans)


def test_an_empty_node_waits_for_its_broker_and_serves_again() -> None:
    """As long as it takes, without a failure; then it is told until it obeys, and until that overtakes."""
    leader = sending()
    leader.hear(lost(connections=0, leaving=going(Leaving.EMPTY, sent_away=1000)))
    assert leader.step(1000)["a"].action == Order.DRAIN
    assert leader.plans[0].steps[0].note == "empty; takes clients again when it is not cut off any more"
    leader.hear(lost("b"), lost("c"))
    leader.step(2)
    assert leader.plans[0].steps[0].note.startswith("empty")
    leader.hear(report("b"), report("c"))
    back = report("a", 0, leaving=going(Leaving.EMPTY, sent_away=1000))
    leader.hear(back)
    assert leader.step()["a"].action == Order.SERVE
    leader.hear(report("a", 0))
    assert leader.step(3)["a"].action == Order.SERVE
    assert leader.step(10) == {}
    assert leader.plans[0].state == Plan.DONE
    assert leader.plans[0].note == "1000 clients were sent away"


def test_a_broker_that_has_just_come_back_holds_the_pace() -> None:
    """The node stays out of rotation until it says that the connection has lasted."""
    leader = sending()
    leader.hear(lost(connections=500, seconds=0.0, leaving=going()))
    order = leader.step(2)["a"]
    assert (order.action, order.rate) == (Order.DRAIN, 0)
    assert "connected again" in leader.plans[0].steps[0].note
    leader.hear(lost(connections=500, seconds=0.5, leaving=going()))
    assert leader.step(2)["a"].rate > 0
    leader.hear(report("a", 500, leaving=going()))
    assert leader.step()["a"].action == Order.SERVE


def test_without_receivers_in_the_middle_the_pace_is_nothing() -> None:
    """Clients that are left stay; they go on when somebody is better off again."""
    leader = sending()
    leader.hear(lost("b", seconds=2.0, outage=0), lost("c", seconds=2.0, outage=0))
    assert leader.step(2)["a"].rate == 0
    assert "no other node is better off" in leader.plans[0].steps[0].note
    leader.hear(report("b"))
    assert leader.step(2)["a"].rate > 0


def test_the_next_time_is_another_plan() -> None:
    """And this one is never begun again, however it ended."""
    leader = sending()
    leader.hear(report("a", 500))
    leader.step(12)
    leader.hear(lost(outage=2))
    leader.step()
    assert [(plan.id, plan.state) for plan in leader.plans] == [
        (ID, Plan.DONE),
        ("lost-a-1-2", Plan.RUNNING),
    ]


@pytest.mark.parametrize("how", ["undrain", "cancel"])
def test_called_back_by_hand_it_keeps_its_clients_this_time(how: str) -> None:
    """It is told to serve, and left alone until it is cut off anew."""
    leader = sending()
    if how == "undrain":
        plan = plan_undrain("a", "u", leader.view, leader.plans, leader.now, SETTINGS)
        assert isinstance(plan, Plan)
        leader.plans.append(plan)
    else:
        plan = plan_cancel(leader.plans[0])
        assert isinstance(plan, Plan)
        leader.plans[0] = plan
    assert leader.step()["a"].action == Order.SERVE
    leader.hear(lost(connections=700))
    leader.step(8)
    assert leader.step(20) == {}
    assert [plan.state for plan in leader.plans] == (
        [Plan.FAILED, Plan.CANCELLED] if how == "undrain" else [Plan.CANCELLED]
    )
    leader.hear(lost(connections=700, outage=2))
    assert leader.step()["a"].plan_id == "lost-a-1-2"


def test_a_drain_that_is_asked_for_takes_the_node_over() -> None:
    """Nothing refuses it; what was sent for the other reason is not taken for its end."""
    leader = sending()
    leader.hear(lost(connections=0, leaving=going(Leaving.EMPTY)))
    leader.step()
    asked = leader.ask(nodes=["a"])
    leader.step()
    order = leader.step(4)["a"]
    assert (order.plan_id, order.cut_off) == (asked.id, False)
    assert [plan.state for plan in leader.plans] == [Plan.DONE, Plan.RUNNING]
    obeyed = Leaving(phase=Leaving.EMPTY, plan_id=asked.id)
    leader.hear(lost(connections=0, leaving=obeyed))
    leader.step()
    assert leader.plans[1].state == Plan.DONE
    leader.hear(report("a", 0, leaving=obeyed))
    assert leader.step(5) == {}


def test_a_drain_that_is_refused_changes_nothing() -> None:
    """What was possible when it was asked for may not be when it is taken up: the other goes on."""
    leader = sending()
    asked = leader.ask(nodes=["a"], deadline_s=60)
    asked.deadline_s = 1
    leader.step(4)
    assert [plan.state for plan in leader.plans] == [Plan.RUNNING, Plan.FAILED]
    assert leader.step()["a"].plan_id == ID


def test_its_clients_are_reckoned_once_when_it_is_drained() -> None:
    """The time that is foretold is that of the same drain without the other."""
    leader, calm = sending(), Leader(report("a"), report("b"), report("c"))
    assert leader.ask(nodes=["a"]).note == calm.ask(nodes=["a"]).note


def test_a_node_that_stops_on_its_own_is_taken_over_too() -> None:
    """Its own deadline counts from then on."""
    leader = sending()
    leader.hear(lost(leaving=Leaving(phase=Leaving.SENDING, on_its_own=True, stop=True, ends_in_s=20)))
    leader.step(2)
    assert [(plan.id, plan.state) for plan in leader.plans] == [(ID, Plan.DONE), ("own-a-1", Plan.RUNNING)]
    assert leader.step()["a"].ends_in_s <= 20


def test_a_node_that_is_started_anew_is_not_waited_for() -> None:
    """Its successor is another instance, with another plan if it needs one."""
    leader = sending()
    anew = report("a", 0, instance="a-2")
    leader.hear(anew)
    leader.step()
    assert leader.plans[0].state == Plan.DONE
    assert leader.step(3) == {}


def test_a_catalog_that_was_emptied_is_no_way_out() -> None:
    """The node goes on leaving: the same plan is made again."""
    leader = sending()
    leader.plans = []
    assert leader.step()["a"].plan_id == ID


def test_load_is_evened_out_beside_an_empty_one() -> None:
    """It may be cut off for days; while its clients leave, nobody else is moved."""
    settings = PlanSettings(ttl_s=1000, rebalance=RebalanceSettings(automatic=True))
    for connections, expected in ((1000, False), (0, True)):
        leader = sending(connections)
        leader.plans[0].steps[0].connections = connections
        leader.hear(report("b", 5_000), report("c", 0))
        assert wanted(leader.view, leader.plans, settings, leader.now, 1000.0) is expected


def test_it_says_nothing_of_its_version() -> None:
    """New clients go to the others of its version as before; only a deploy prefers the other one."""
    leader = Leader(lost(), report("b"), report("c", 9_990, version="2"))
    leader.step()
    placement = Placement(SETTINGS)
    placement.update(leader.view, leader.plans, leader.now)
    nodes = {placement.choose("websocket", leader.now, Random(seed))[0].node for seed in range(5)}
    assert nodes == {"b"}


def test_other_drains_are_foretold_with_it() -> None:
    """Its clients come to the same receivers."""
    leader = sending()
    asked = plan_drain(
        DrainRequest(nodes=["b"], deadline_s=600), "p", leader.view, leader.plans, leader.now, SETTINGS
    )
    assert isinstance(asked, Plan)
    assert "2000 clients to 1 node" in asked.note


def test_its_step_ends_when_the_node_has_gone() -> None:
    """Nobody waits a month for a node that is not there any more."""
    leader = sending()
    leader.view = view_of(report("b"), report("c"))
    leader.step()
    assert leader.plans[0].steps[0].state == NodeStep.DONE
