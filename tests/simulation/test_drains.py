"""Drains of large fleets: what the nodes that stay get, and when the nodes that leave are empty.

Arrivals are random, so "never above the connect rate" needs a tolerance. The plan aims at 0.9 of the rate
at most, all arrivals counted. What one node then gets in one second is a Poisson number: its standard
deviation is the root of its mean, and among a hundred nodes and a few hundred seconds the largest is about
four and a half of them above the mean. The mean over the nodes of a fleet has next to no such noise and is
held to the rate itself.
"""

from collections.abc import Callable
from math import sqrt

import pytest

from coordinator.drain_plan import Refusal
from protos.catalog_pb2 import NodeStep, Plan
from protos.coordinator_pb2 import DrainRequest
from tests.simulation.fleet import Fleet
from tests.simulation.node import SimNode

MILLION = 1_000_000


def nodes(
    count: int = 100, clients: int = MILLION, *, capacity: int = 20_000, rate: float = 100.0
) -> list[SimNode]:
    return [
        SimNode(f"node-{index:03}", capacity, clients // count, connect_rate_max=rate)
        for index in range(count)
    ]


def uneven() -> list[SimNode]:
    """Small and large nodes, quick and slow ones, some nearly full."""
    fleet = nodes()
    for index, node in enumerate(fleet):
        node.capacity = (12_000, 20_000, 40_000)[index % 3]
        node.connect_rate_max = (150.0, 100.0, 80.0, 300.0)[index % 4]
        node.connections = 10_000 + (500 if index % 2 else -500)
    for node in fleet[10:15]:
        node.connections = node.capacity - 40
    return fleet


def costly() -> list[SimNode]:
    """No configured limit: the pace follows from what a session costs."""
    fleet = nodes(rate=0.0)
    for node in fleet:
        node.connect_cost_s, node.base_cpu = 0.004, 0.3
    return fleet


def limit(node: SimNode) -> float:
    spare = (0.85 - node.base_cpu) / node.connect_cost_s if node.connect_cost_s else 1e9
    return min(node.connect_rate_max or 1e9, spare)


def check_receivers(fleet: Fleet, since: int = 0) -> None:
    """No node had more clients than it can hold, nor more arrivals than it can take; nobody is lost."""
    assert fleet.everyone() == fleet.clients
    assert all(node.connections <= node.capacity for node in fleet.nodes)
    for second in range(since, int(fleet.now)):
        came = [(node.arrivals.get(second, 0), limit(node)) for node in fleet.nodes if node.serving]
        assert sum(count for count, _ in came) <= sum(rate for _, rate in came)
        for count, rate in came:
            assert count <= 0.9 * rate + 4.5 * sqrt(0.9 * rate) + 5, (second, count, rate)


def carry_out(fleet: Fleet, request: DrainRequest, at_most_s: float = 2000.0) -> Plan:
    # Until reports say how many come by themselves.
    fleet.run(20 if fleet.churn_per_s else 3)
    plan = fleet.drain(request)
    assert isinstance(plan, Plan), plan
    fleet.run(at_most_s, until=lambda: ended(fleet))
    fleet.run(3)
    return fleet.plans[0]


def ended(fleet: Fleet) -> bool:
    return all(plan.state in (Plan.DONE, Plan.FAILED, Plan.CANCELLED) for plan in fleet.plans)


@pytest.mark.parametrize("make", [nodes, uneven, costly])
@pytest.mark.parametrize("churn_per_s", [0.0, 5000.0])
def test_receivers_are_never_given_more_than_they_take(
    make: Callable[[], list[SimNode]], churn_per_s: float
) -> None:
    """Five of a hundred nodes leave together, in even and uneven fleets, with and without other arrivals."""
    fleet = Fleet(make(), churn_per_s=churn_per_s)
    names = [node.name for node in fleet.nodes[:5]]
    plan = carry_out(fleet, DrainRequest(nodes=names, deadline_s=120, stop=True))
    assert plan.state == Plan.DONE, plan.note
    assert all(step.ends_in_s > 0 for step in plan.steps)
    check_receivers(fleet)


def test_with_time_enough_few_clients_find_a_receiver_full() -> None:
    """Five nodes with room for forty more each are filled slowly, the others go on when these are full.

    Nodes refuse who is too many, so "never above capacity" holds without any plan; what a plan owes is that
    few are refused: those that come in the two seconds until the load balancer knows that a node is full.
    """
    fleet = Fleet(uneven())
    plan = carry_out(fleet, DrainRequest(nodes=["node-000", "node-001"], deadline_s=600))
    assert plan.state == Plan.DONE, plan.note
    assert sum(node.refused for node in fleet.nodes[2:]) < 0.02 * 20_000
    check_receivers(fleet)


def test_a_whole_fleet_is_replaced_by_new_processes() -> None:
    """A rolling drain of all nodes: four at a time, and the next four when the new ones are there."""
    fleet = Fleet(nodes(40, 400_000), restart_s=4)
    plan = carry_out(
        fleet, DrainRequest(all=True, deadline_s=120, unavailable_max=4, stop=True), at_most_s=3000
    )
    assert plan.state == Plan.DONE, plan.note
    assert {node.version for node in fleet.nodes if node.alive} == {"2"}
    check_receivers(fleet)


def test_placed_clients_are_not_heaped_on_the_emptiest_node() -> None:
    """With `/discover` an empty node is suggested the most, and still not beyond its connect rate."""
    fleet = Fleet(nodes(20, 100_000), placed=True)
    fleet.nodes[-1].connections = 0
    fleet.clients = fleet.everyone()
    plan = carry_out(fleet, DrainRequest(nodes=["node-000", "node-001"], deadline_s=120))
    assert plan.state == Plan.DONE, plan.note
    check_receivers(fleet)
    assert fleet.nodes[-1].connections > max(sum(node.arrivals.values()) for node in fleet.nodes[2:-1])


@pytest.mark.parametrize(("at_s", "gap_s"), [(0.2, 8.0), (4.0, 0.5), (9.0, 8.0)])
def test_a_new_leader_takes_the_drain_up(at_s: float, gap_s: float) -> None:
    """The plan as JSON and another process's clock are all it has; the deadline is the one that was set."""
    fleet = Fleet(nodes())
    fleet.run(3)
    plan = fleet.drain(DrainRequest(nodes=["node-000", "node-001"], deadline_s=60))
    assert isinstance(plan, Plan)
    fleet.run(at_s)
    fleet.change_leader(gap_s, clock_offset=-50_000.0)
    fleet.run(80, until=lambda: ended(fleet))
    assert fleet.plans[0].state == Plan.DONE, fleet.plans[0].note
    assert fleet.now < 3 + 60 + gap_s
    assert fleet.everyone() == MILLION


@pytest.mark.parametrize("at_s", [2.0, 8.0, 11.0])
def test_a_receiver_that_dies_slows_the_drain_down(at_s: float) -> None:
    """Ten thousand clients nobody planned for: while they arrive, the plan gives way."""
    fleet = Fleet(nodes())
    fleet.run(3)
    fleet.drain(DrainRequest(nodes=[f"node-00{index}" for index in range(5)], deadline_s=120))
    fleet.run(at_s)
    fleet.crash(fleet.node("node-050"))
    fleet.run(120, until=lambda: ended(fleet))
    fleet.run(3)
    assert fleet.plans[0].state == Plan.DONE, fleet.plans[0].note
    assert all(step.ends_in_s > 0 for step in fleet.plans[0].steps)
    # The storm itself is over within three seconds.
    check_receivers(fleet, since=int(3 + at_s + 4))


@pytest.mark.parametrize("at_s", [1.0, 8.0])
def test_a_draining_node_that_dies_is_said_to_have_vanished(at_s: float) -> None:
    """Its clients are gone at once: the step fails and says with how many, the other one goes on."""
    fleet = Fleet(nodes())
    fleet.run(3)
    fleet.drain(DrainRequest(nodes=["node-000", "node-001"], deadline_s=60))
    fleet.run(at_s)
    fleet.crash(fleet.node("node-000"))
    fleet.run(100, until=lambda: ended(fleet))
    first, second = fleet.plans[0].steps
    assert first.state == NodeStep.FAILED
    assert "vanished" in first.note
    assert second.state == NodeStep.DONE
    assert fleet.everyone() == MILLION


def test_drains_at_once_share_one_budget() -> None:
    """Two plans and a node that stops by itself: together they stay below what the receivers take."""
    fleet = Fleet(nodes())
    fleet.run(3)
    assert isinstance(fleet.drain(DrainRequest(nodes=["node-000", "node-001"], deadline_s=90)), Plan)
    assert isinstance(fleet.drain(DrainRequest(nodes=["node-002"], deadline_s=60)), Plan)
    fleet.node("node-003").leave(fleet.now, 40, on_its_own=True)
    fleet.run(100, until=lambda: ended(fleet))
    assert [plan.state for plan in fleet.plans] == [Plan.DONE] * 3, [plan.note for plan in fleet.plans]
    assert fleet.plans[2].on_its_own
    fleet.run(3)
    check_receivers(fleet)


def test_nodes_of_each_kind_take_the_clients_of_their_own() -> None:
    """WebSocket and slow gRPC nodes drain side by side: each kind's receivers set its pace, and no other."""
    http = nodes(20, 200_000)
    grpc = [
        SimNode(f"grpc-{index}", connections=2_000, connect_rate_max=30.0, transport="grpc")
        for index in range(10)
    ]
    fleet = Fleet([*http, *grpc])
    fleet.run(3)
    for name in ("node-000", "grpc-0"):
        assert isinstance(fleet.drain(DrainRequest(nodes=[name], deadline_s=60)), Plan)
    notes = [plan.note.split(":")[0] for plan in fleet.plans]
    assert notes == ["10000 clients to 19 nodes", "2000 clients to 9 nodes"]
    fleet.run(100, until=lambda: ended(fleet))
    fleet.run(3)
    assert [plan.state for plan in fleet.plans] == [Plan.DONE] * 2, [plan.note for plan in fleet.plans]
    assert all(step.ends_in_s > 0 for plan in fleet.plans for step in plan.steps)
    assert sum(node.connections for node in http) == 200_000
    assert sum(node.connections for node in grpc) == 20_000
    # 0.7 of its rate for each WebSocket receiver while the slow ones are at it too.
    assert max(sum(fleet.arrivals(second, grpc)) for second in range(15, 20)) > 0.6 * 19 * 100
    check_receivers(fleet)


@pytest.mark.parametrize("make", [nodes, uneven, costly])
def test_an_impossible_deadline_is_said_at_the_start(make: Callable[[], list[SimNode]]) -> None:
    """The refusal names the shortest possible deadline, and that one holds."""
    fleet = Fleet(make())
    fleet.run(3)
    names = [f"node-{index:03}" for index in range(30)]
    refused = fleet.drain(DrainRequest(nodes=names, deadline_s=20))
    assert isinstance(refused, Refusal)
    shortest_s = int(refused.words.split("at least ")[1].split(" s")[0])
    assert 20 < shortest_s < 200
    plan = fleet.drain(DrainRequest(nodes=names, deadline_s=shortest_s))
    assert isinstance(plan, Plan)
    fleet.run(shortest_s + 30, until=lambda: ended(fleet))
    assert fleet.plans[0].state == Plan.DONE, fleet.plans[0].note
    assert all(step.ends_in_s >= 0 for step in fleet.plans[0].steps)
    fleet.run(3)
    check_receivers(fleet)


def test_a_draining_node_that_hangs_goes_on_when_it_is_back() -> None:
    """Stopped for a while, it is neither given up nor reckoned with; the other one uses the budget."""
    fleet = Fleet(nodes())
    fleet.run(3)
    fleet.drain(DrainRequest(nodes=["node-000", "node-001"], deadline_s=60))
    fleet.run(9)
    fleet.node("node-000").hung = True
    fleet.run(8)
    assert "silent" in fleet.plans[0].steps[0].note
    fleet.node("node-000").hung = False
    fleet.run(60, until=lambda: ended(fleet))
    fleet.run(3)
    assert fleet.plans[0].state == Plan.DONE, fleet.plans[0].note
    check_receivers(fleet)


def test_a_node_that_ignores_its_orders_fails_alone() -> None:
    """It is named, and given up after its deadline; nobody else waits for it."""
    fleet = Fleet(nodes())
    fleet.run(3)
    fleet.node("node-000").deaf = True
    fleet.drain(DrainRequest(nodes=["node-000", "node-001"], deadline_s=60))
    fleet.run(80, until=lambda: ended(fleet))
    first, second = fleet.plans[0].steps
    assert (first.state, second.state) == (NodeStep.FAILED, NodeStep.DONE)
    assert "has not obeyed" in first.note
    check_receivers(fleet)
