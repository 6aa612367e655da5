"""Fleets of which some nodes lose NATS: clients go where they are better off, and nowhere if nobody is."""

import pytest

from protos.catalog_pb2 import NodeStep, Plan
from protos.coordinator_pb2 import DrainRequest
from tests.simulation.fleet import Fleet
from tests.simulation.node import LOST_MAX_S, SimNode
from tests.simulation.test_drains import check_receivers, ended, nodes


def lose(fleet: Fleet, *some: SimNode) -> None:
    for node in some:
        node.lost_at = fleet.now


def heal(*some: SimNode) -> None:
    for node in some:
        node.lost_at = None


@pytest.mark.parametrize("count", [1, 20])
def test_nodes_that_are_cut_off_are_emptied_and_serve_again(count: int) -> None:
    """At the pace of the others, empty ones wait for their broker, and take clients when it is back."""
    fleet = Fleet(nodes(), churn_per_s=50)
    lost = fleet.nodes[:count]
    fleet.run(20)
    lose(fleet, *lost)
    fleet.run(600, until=lambda: not any(node.connections for node in lost))
    fleet.run(120)
    assert [(node.leaving, node.connections) for node in lost] == [(True, 0)] * count
    assert [plan.state for plan in fleet.plans] == [Plan.RUNNING] * count
    check_receivers(fleet)
    heal(*lost)
    fleet.run(60, until=lambda: ended(fleet))
    assert [plan.state for plan in fleet.plans] == [Plan.DONE] * count, [plan.note for plan in fleet.plans]
    assert len({plan.id for plan in fleet.plans}) == count
    fleet.run(30)
    assert all(node.serving and node.connections for node in lost)
    check_receivers(fleet)


def test_when_all_are_cut_off_everybody_stays() -> None:
    """Their limits pass one after another, and their brokers come back one after another."""
    fleet = Fleet(nodes(20, 200_000))
    for node in fleet.nodes:
        fleet.run(0.5)
        lose(fleet, node)
    fleet.run(300)
    assert fleet.plans == []
    for node in fleet.nodes:
        fleet.run(0.4)
        heal(node)
    fleet.run(60)
    assert fleet.plans == []
    assert [node.connections for node in fleet.nodes] == [10_000] * 20


def test_a_node_that_comes_back_in_the_middle_keeps_who_is_left() -> None:
    """Nobody more is sent away from that moment on; it is in rotation when its connection has lasted."""
    fleet = Fleet(nodes(10, 100_000))
    fleet.run(3)
    node = fleet.nodes[0]
    lose(fleet, node)
    fleet.run(60, until=lambda: node.connections < 8_000)
    heal(node)
    fleet.run(2)
    left = node.connections
    assert 5_000 < left < 8_000
    fleet.run(LOST_MAX_S - 3)
    assert (node.connections, node.leaving) == (left, True)
    fleet.run(20, until=lambda: ended(fleet))
    assert (node.connections, node.leaving) == (left, False)
    assert fleet.plans[0].state == Plan.DONE
    check_receivers(fleet)


def test_a_broker_that_comes_and_goes_makes_one_plan() -> None:
    """Between two breaks the node gets nobody back whom it would have to send away again."""
    fleet = Fleet(nodes(), churn_per_s=50)
    fleet.run(20)
    node = fleet.nodes[0]
    came = []
    for _ in range(10):
        lose(fleet, node)
        fleet.run(20)
        heal(node)
        fleet.run(LOST_MAX_S / 2)
        came.append(sum(node.arrivals.values()))
    assert [plan.state for plan in fleet.plans] == [Plan.RUNNING]
    assert len(set(came)) == 1
    heal(node)
    fleet.run(30, until=lambda: ended(fleet))
    assert fleet.plans[0].state == Plan.DONE
    check_receivers(fleet)


def test_when_the_others_are_cut_off_too_in_the_middle_the_rest_stays() -> None:
    """The pace goes to nothing at the first doubt, and on from there when the others are back."""
    fleet = Fleet(nodes(10, 100_000))
    fleet.run(3)
    node, *others = fleet.nodes
    lose(fleet, node)
    fleet.run(60, until=lambda: node.connections < 8_000)
    lose(fleet, *others)
    fleet.run(3)
    left = node.connections
    fleet.run(100)
    assert (node.connections, left > 6_000) == (left, True)
    assert "better off" in fleet.plans[0].steps[0].note
    assert len(fleet.plans) == 1
    heal(*others)
    fleet.run(300, until=lambda: not node.connections)
    assert node.connections == 0
    fleet.run(3)
    check_receivers(fleet)


def test_full_receivers_take_whom_they_can() -> None:
    """The others stay where they are, however long it lasts; nobody is sent into nothing."""
    fleet = Fleet(nodes(4, 40_000, capacity=12_000))
    fleet.run(3)
    lose(fleet, fleet.nodes[0])
    fleet.run(600)
    assert 3_900 <= fleet.nodes[0].connections <= 4_200
    assert fleet.everyone() == fleet.clients
    assert fleet.plans[0].state == Plan.RUNNING


def test_a_new_leader_goes_on_with_the_same_plan() -> None:
    """While nobody leads nobody is sent away."""
    fleet = Fleet(nodes(10, 100_000))
    fleet.run(3)
    node = fleet.nodes[0]
    lose(fleet, node)
    fleet.run(60, until=lambda: node.connections < 8_000)
    fleet.change_leader(10, 5.0)
    fleet.run(5)
    left = node.connections
    fleet.run(4)
    assert node.connections == left > 4_000
    fleet.run(300, until=lambda: not node.connections)
    assert len(fleet.plans) == 1
    heal(node)
    fleet.run(30, until=lambda: ended(fleet))
    assert fleet.plans[0].state == Plan.DONE
    fleet.run(3)
    check_receivers(fleet)


@pytest.mark.parametrize("stops", [True, False])
def test_a_drain_of_such_a_node_goes_before(stops: bool) -> None:
    """Asked for or on its own: it keeps its deadline, and the node does not come back with its broker."""
    fleet = Fleet(nodes(10, 100_000))
    fleet.run(3)
    node = fleet.nodes[0]
    lose(fleet, node)
    fleet.run(60, until=lambda: node.connections < 8_000)
    if stops:
        node.leave(fleet.now, 60, on_its_own=True)
    else:
        assert isinstance(fleet.drain(DrainRequest(nodes=[node.name], deadline_s=60)), Plan)
    fleet.run(70, until=lambda: ended(fleet))
    assert [plan.state for plan in fleet.plans] == [Plan.DONE] * 2, [plan.note for plan in fleet.plans]
    assert fleet.plans[0].cut_off
    assert fleet.plans[1].steps[0].state == NodeStep.DONE
    heal(node)
    fleet.run(60)
    assert (node.leaving, node.connections, node.alive) == (True, 0, not stops)
    check_receivers(fleet)


def test_other_drains_keep_their_deadlines_beside_it() -> None:
    """Both at once stay within what the receivers take."""
    fleet = Fleet(nodes(20, 200_000))
    fleet.run(3)
    lose(fleet, fleet.nodes[0])
    fleet.run(LOST_MAX_S + 2)
    names = [node.name for node in fleet.nodes[1:4]]
    assert isinstance(fleet.drain(DrainRequest(nodes=names, deadline_s=90)), Plan)
    fleet.run(100, until=lambda: any(plan.state == Plan.DONE for plan in fleet.plans))
    assert {plan.cut_off: plan.state for plan in fleet.plans} == {False: Plan.DONE, True: Plan.RUNNING}
    assert all(step.ends_in_s > 0 for plan in fleet.plans for step in plan.steps)
    fleet.run(300, until=lambda: not fleet.nodes[0].connections)
    fleet.run(3)
    check_receivers(fleet)
