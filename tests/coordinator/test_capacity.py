"""What nodes can take."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.capacity import CEILING, budget, budgets, connect_rate, headroom, intake
from coordinator.members import Kind
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import NodeReport
from tests.coordinator.reports import report

SETTINGS = PlanSettings(connect_share=0.5, connect_rate_default=80)

REPORTS = st.builds(
    lambda index, connections, capacity, rate, cost, cpu, lag: NodeReport(
        name=f"n{index}",
        instance=f"i{index}",
        connections=connections,
        capacity=capacity,
        connect_rate_max=rate,
        connect_cost_s=cost,
        cpu=cpu,
        loop_lag_s=lag,
    ),
    st.integers(0, 50),
    st.integers(0, 2000),
    st.integers(0, 2000),
    st.sampled_from([0.0, 10.0, 100.0]),
    st.sampled_from([0.0, 0.001, 0.1]),
    st.floats(0, 1),
    st.floats(0, 3),
)


def test_headroom_counts_what_was_just_handed_out() -> None:
    """And is never less than none."""
    assert headroom(report("a", 990, capacity=1000)) == 10
    assert headroom(report("a", 990, capacity=1000), 8) == 2
    assert headroom(report("a", 990, capacity=1000), 80) == 0


def test_the_connect_rate_is_the_lower_of_limit_and_spare_processor_time() -> None:
    """What arrivals cost now is spare: they are part of the rate."""
    node = report("a", rate=100)
    node.connect_cost_s = 0.01
    node.cpu = 0.35
    assert connect_rate(node, SETTINGS) == pytest.approx(50)
    node.connect_rate = 20
    assert connect_rate(node, SETTINGS) == pytest.approx(70)
    node.connect_rate_max = 60
    assert connect_rate(node, SETTINGS) == 60


def test_a_node_that_says_nothing_of_its_rate_has_the_default() -> None:
    """Neither limit nor measured cost."""
    assert connect_rate(report("a", rate=0), SETTINGS) == 80


def test_a_node_that_lags_takes_less() -> None:
    """A late timer says that it has too much to do, whatever else it measured."""
    node = report("a", rate=100)
    node.loop_lag_s = 0.4
    assert connect_rate(node, SETTINGS) == 50


def test_the_weakest_receiver_sets_the_pace_for_all() -> None:
    """An even spread gives everyone the same; full nodes count for nothing."""
    full = report("d", 10_000, rate=1)
    found = budget([report("a"), report("b", rate=40), report("c"), full], {}, SETTINGS)
    assert found.paced == 3 * 20
    assert found.pressed == found.paced
    assert found.most == pytest.approx(3 * CEILING * 40)
    assert found.receivers == 3


def test_arrivals_that_no_plan_caused_are_subtracted() -> None:
    """Those that fit into what is left for others cost nothing."""
    nodes = [report("a"), report("b")]
    assert budget(nodes, {"a-1": 30.0}, SETTINGS).paced == 100
    assert budget(nodes, {"a-1": 70.0}, SETTINGS).paced == pytest.approx(2 * 20)
    assert budget(nodes, {"a-1": 300.0}, SETTINGS).paced == 0


def test_a_nearly_full_receiver_slows_all_down_unless_a_deadline_presses() -> None:
    """It must not be pushed over its capacity by what is still on the way."""
    found = budget([report("a"), report("b", 9_900)], {}, SETTINGS)
    assert found.paced == pytest.approx(2 * 10)
    assert found.pressed == 100


def test_each_kind_of_node_has_its_own_budget() -> None:
    """Neither the number of the others nor the weakest of them counts."""
    nodes = [report("a"), report("g", rate=10, transport="grpc"), report("h", rate=10, transport="grpc")]
    found = budgets(nodes, {}, SETTINGS)
    assert found == {Kind.HTTP: budget(nodes[:1], {}, SETTINGS), Kind.GRPC: budget(nodes[1:], {}, SETTINGS)}
    assert budgets([], {}, SETTINGS)[Kind.GRPC].receivers == 0


def test_nobody_to_take_clients_is_no_budget() -> None:
    """And not an infinite one."""
    assert budget([], {}, SETTINGS) == (budget([report("a", 10_000)], {}, SETTINGS))
    assert budget([], {}, SETTINGS).most == 0


def test_intake_fills_the_receivers_one_after_another() -> None:
    """100 in all to the first, then the others share; the pace is per receiver."""
    nodes = [report("a", 9_900), report("b", 0), report("c", 0)]
    took = intake(500, nodes, {}, SETTINGS)
    assert took.seconds == pytest.approx(2 + 2)
    assert took.each_max == pytest.approx(200)


def test_without_room_it_takes_for_ever() -> None:
    """One client too many is too many."""
    nodes = [report("a", 9_900), report("b", 9_900)]
    assert intake(200, nodes, {}, SETTINGS).seconds < math.inf
    assert intake(201, nodes, {}, SETTINGS).seconds == math.inf
    assert intake(1, [], {}, SETTINGS).seconds == math.inf
    assert intake(0, [], {}, SETTINGS).seconds == 0


@given(st.lists(REPORTS, max_size=8), st.floats(0, 200))
def test_no_receiver_gets_more_than_it_takes(nodes: list[NodeReport], natural: float) -> None:
    """The share of each is within its rate together with what comes by itself, for every kind of pace."""
    found = budget(nodes, {node.instance: natural for node in nodes}, SETTINGS)
    assert 0 <= found.paced <= found.pressed <= found.most
    for node in nodes:
        if found.receivers and headroom(node):
            each = found.most / found.receivers
            assert each == 0 or each + natural <= connect_rate(node, SETTINGS)
            assert found.paced / found.receivers * SETTINGS.lag_s <= headroom(node)


@given(st.integers(0, 5000), st.lists(REPORTS, max_size=8))
def test_intake_places_everyone_or_says_that_it_cannot(clients: int, nodes: list[NodeReport]) -> None:
    """What the receivers get, each up to its room, is all clients."""
    took = intake(clients, nodes, {}, SETTINGS)
    placed = sum(min(headroom(node), took.each_max) for node in nodes)
    if took.seconds < math.inf:
        assert placed == pytest.approx(clients, abs=1)
    else:
        assert sum(map(headroom, nodes)) < clients
