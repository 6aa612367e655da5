"""What evens out load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.capacity import Budget
from coordinator.drain_plan import Refusal, Why
from coordinator.rebalance_plan import (
    advance,
    describe,
    moves,
    orders,
    plan_rebalance,
    set_rates,
    shares,
    wanted,
)
from coordinator.settings import PlanSettings, RebalanceSettings
from protos.catalog_pb2 import Leaving, Moving, NodeReport, NodeStep, Order, Plan
from protos.coordinator_pb2 import RebalanceRequest
from tests.coordinator.reports import NOW, report, view_of

HOW = RebalanceSettings(automatic=True, threshold_sessions=100, threshold_relative=0.1)
SETTINGS = PlanSettings(rebalance=HOW)
BUDGET = Budget(paced=300, pressed=300, most=400, receivers=3, room=20_000)
UNEVEN = (report("a", 5_000), report("b", 5_000), report("c", 500))


def planned(*nodes: NodeReport) -> Plan:
    plan = plan_rebalance(RebalanceRequest(), "p", view_of(*nodes), [], NOW, SETTINGS)
    assert isinstance(plan, Plan), plan
    return plan


def running() -> Plan:
    plan = planned(*UNEVEN)
    advance([plan], view_of(*UNEVEN), NOW, 0.5, SETTINGS)
    assert plan.state == Plan.RUNNING
    return plan


def ordered(*plans: Plan, nodes: tuple[NodeReport, ...] = UNEVEN) -> list[Order]:
    return list(orders(plans, view_of(*nodes), NOW, SETTINGS))


def moving(node: NodeReport, sent_away: int, connections: int) -> NodeReport:
    moved = NodeReport()
    moved.CopyFrom(node)
    moved.connections = connections
    moved.number += 1
    moved.moving.CopyFrom(Moving(plan_id="p", sent_away=sent_away, count=10_000))
    return moved


def test_both_thresholds_must_be_passed() -> None:
    """Small fleets are never even to a tenth, large ones never to a hundred sessions."""
    assert not moves([report("a", 90), report("b", 0)], HOW)
    assert not moves([report("a", 5_400), report("b", 5_000)], HOW)
    assert moves([report("a", 5_700), report("b", 5_000)], RebalanceSettings(threshold_relative=0.05))


def test_load_is_by_capacity() -> None:
    """A node of twice the size has twice the share."""
    small, large = report("a", 3_000, capacity=10_000), report("b", 6_000, capacity=20_000)
    assert shares([small, large]) == {"a": 3_000, "b": 6_000}
    assert not moves([small, large], HOW)


def test_nodes_that_can_hold_nobody_and_lone_ones_have_nothing_to_even_out() -> None:
    """No division by nothing either."""
    assert not moves([], HOW)
    assert not moves([report("a", 5_000)], HOW)
    assert not moves([report("a", 5_000), report("b", 0, capacity=0)], HOW)


def test_grpc_nodes_have_no_part_in_it() -> None:
    """Their clients would come back to them: nobody is moved, and no other node is fuller for them."""
    grpc = [report("g", 9_000, transport="grpc"), report("h", 0, transport="grpc")]
    assert not moves([report("a", 5_000), report("b", 5_000), *grpc], HOW)
    assert moves([*UNEVEN, *grpc], HOW) == moves(UNEVEN, HOW)
    assert shares([*UNEVEN, *grpc]) == shares(UNEVEN)
    assert planned(*UNEVEN, *grpc) == planned(*UNEVEN)
    assert not wanted(view_of(*grpc), [], SETTINGS, NOW, 60)
    only = plan_rebalance(RebalanceRequest(), "p", view_of(*grpc), [], NOW, SETTINGS)
    assert isinstance(only, Refusal)
    assert "gRPC nodes do not count" in only.words


@given(
    st.lists(st.tuples(st.integers(0, 30_000), st.sampled_from([30_000, 60_000])), min_size=2, max_size=12),
    st.sampled_from([0.05, 0.1, 0.5]),
    st.integers(10, 1000),
)
def test_one_even_spread_of_the_moved_ends_it(
    fleet: list[tuple[int, int]], relative: float, sessions: int
) -> None:
    """Everyone gets the same of them back, also who sent them: afterwards no node is too full.

    Unless one would have to send more clients than it has: then it sends all, and more plans are needed.
    """
    how = RebalanceSettings(threshold_relative=relative, threshold_sessions=sessions)
    nodes = [report(f"n{index}", count, capacity=capacity) for index, (count, capacity) in enumerate(fleet)]
    for _ in range(10):
        found = moves(nodes, how)
        back = sum(found.values()) / len(nodes)
        sent_all = any(found.get(node.name) == node.connections for node in nodes)
        for node in nodes:
            count = found.get(node.name, 0)
            assert 0 <= count <= node.connections
            node.connections = round(node.connections - count + back)
        if not sent_all:
            break
    assert not moves(nodes, how)


def test_a_plan_says_what_it_moves() -> None:
    """The nodes that send, how many, and what it costs behind an even balancer."""
    plan = planned(*UNEVEN)
    assert (plan.kind, plan.state) == (Plan.REBALANCE, Plan.REQUESTED)
    assert [step.node for step in plan.steps] == ["a", "b"]
    lines = describe(plan).splitlines()
    assert lines[0] == plan.note
    assert lines[1] == f"a: {plan.steps[0].count} of 5000 clients"
    assert "end up on emptier ones" in plan.note


def test_even_load_unknown_rates_and_a_second_plan_are_refused() -> None:
    """In words."""
    even = plan_rebalance(RebalanceRequest(), "p", view_of(report("a"), report("b")), [], NOW, SETTINGS)
    assert isinstance(even, Refusal)
    assert "even" in even.words
    bad = plan_rebalance(RebalanceRequest(rate=-1), "p", view_of(*UNEVEN), [], NOW, SETTINGS)
    assert isinstance(bad, Refusal)
    assert bad.why is Why.INVALID_ARGUMENT
    second = plan_rebalance(RebalanceRequest(), "q", view_of(*UNEVEN), [planned(*UNEVEN)], NOW, SETTINGS)
    assert isinstance(second, Refusal)


def test_the_automatic_one_waits_for_quiet() -> None:
    """Switched on, uneven, nothing else planned, and long enough after the last one."""
    view = view_of(*UNEVEN)
    assert wanted(view, [], SETTINGS, NOW, 60)
    assert not wanted(view, [], SETTINGS, NOW, 59)
    assert not wanted(view, [Plan(kind=Plan.DRAIN, state=Plan.RUNNING)], SETTINGS, NOW, 60)
    assert not wanted(view, [], PlanSettings(), NOW, 60)
    assert not wanted(view_of(report("a"), report("b")), [], SETTINGS, NOW, 60)


def test_orders_repeat_while_clients_are_to_go() -> None:
    """With the node's share of the rate, the count, and the age below which nobody is moved."""
    plan = running()
    set_rates([plan], BUDGET)
    first, second = ordered(plan)
    assert (first.action, first.node, first.plan_id) == (Order.MOVE, "a", "p")
    assert (first.count, first.age_min_s) == (1_500, 300)
    assert first.rate + second.rate == pytest.approx(300)
    plan.rate = 50
    set_rates([plan], BUDGET)
    assert sum(order.rate for order in ordered(plan)) == pytest.approx(50)


def test_a_plan_ends_when_all_have_sent_their_clients() -> None:
    """By what the nodes report; their orders end then."""
    plan = running()
    first, second = plan.steps
    view = view_of(moving(UNEVEN[0], first.count, 4_000), moving(UNEVEN[1], 10, 4_900), UNEVEN[2])
    advance([plan], view, NOW, 0.5, SETTINGS)
    assert (first.state, second.state) == (NodeStep.DONE, NodeStep.SENDING)
    assert [order.node for order in ordered(plan)] == ["b"]
    second.count = 10
    advance([plan], view, NOW, 0.5, SETTINGS)
    assert plan.state == Plan.DONE
    assert plan.note == f"{first.count + 10} clients were moved"


def test_a_node_that_is_down_to_its_share_sends_nobody_any_more() -> None:
    """Its clients were placed elsewhere and did not come back."""
    plan = running()
    view = view_of(moving(UNEVEN[0], 100, 2_000), UNEVEN[1], UNEVEN[2])
    advance([plan], view, NOW, 0.5, SETTINGS)
    assert plan.steps[0].note == "has its share already"


@pytest.mark.parametrize(("sent_away", "connections"), [(0, 5_000), (1_400, 3_601), (1_600, 3_400)])
def test_no_order_takes_a_node_below_its_share(sent_away: int, connections: int) -> None:
    """A node can obey it for as long as it likes, and needs to hear of no end."""
    plan = running()
    plan.steps[0].count = 4_000
    nodes = (moving(UNEVEN[0], sent_away, connections), UNEVEN[1], UNEVEN[2])
    share = shares(nodes)["a"]
    advance([plan], view_of(*nodes), NOW, 0.5, SETTINGS)
    orders_ = {order.node: order.count for order in ordered(plan, nodes=nodes)}
    assert connections + sent_away - orders_.get("a", sent_away) >= int(share)
    # Down to the last client that is too many: nobody waits for a node that may not go on.
    assert ("a" in orders_) == (connections > share)
    assert orders_.get("a", sent_away + 1) > sent_away


def test_clients_that_come_back_may_be_sent_away_again() -> None:
    """Behind an even balancer a node has to send more than it is above its share; never more than planned."""
    plan = running()
    planned_count = plan.steps[0].count
    for sent_away, connections in ((1_000, 4_000), (1_000, 4_800), (planned_count - 1, 4_800)):
        nodes = (moving(UNEVEN[0], sent_away, connections), UNEVEN[1], UNEVEN[2])
        advance([plan], view_of(*nodes), NOW, 0.5, SETTINGS)
        above = sent_away + connections - int(shares(nodes)["a"])
        assert ordered(plan, nodes=nodes)[0].count == min(planned_count, above)


def test_a_node_at_its_share_is_done() -> None:
    """Not only one below it: its orders would take nobody away any more."""
    nodes = (moving(UNEVEN[0], 1_000, 4_000), report("b", 6_000), report("c", 2_000))
    plan = running()
    advance([plan], view_of(*nodes), NOW, 0.5, SETTINGS)
    assert shares(nodes)["a"] == 4_000
    assert (plan.steps[0].state, plan.steps[0].note) == (NodeStep.DONE, "has its share already")


def test_too_few_old_sessions_end_it_too() -> None:
    """What can be moved has been when its time is over."""
    plan = running()
    advance([plan], view_of(*UNEVEN), NOW, 10_000, SETTINGS)
    assert plan.state == Plan.DONE
    assert "only 0 of" in plan.steps[0].note


def test_a_node_that_leaves_or_vanishes_is_out_of_it() -> None:
    """Leaving altogether is more than was wanted, vanishing is a failure."""
    plan = running()
    view = view_of(report("a", 5_000, number=2, leaving=Leaving()), UNEVEN[2])
    advance([plan], view, NOW, 0.5, SETTINGS)
    assert [step.state for step in plan.steps] == [NodeStep.DONE, NodeStep.FAILED]
    assert plan.state == Plan.FAILED
    assert "b: vanished" in plan.note


def test_it_stands_still_while_nodes_leave() -> None:
    """The budget is the drain's; the time for it does not run."""
    plan = running()
    drain = Plan(id="d", kind=Plan.DRAIN, state=Plan.RUNNING)
    before = plan.steps[0].ends_in_s
    advance([plan, drain], view_of(*UNEVEN), NOW, 5, SETTINGS)
    set_rates([plan, drain], BUDGET)
    assert [order.rate for order in ordered(plan)] == [0, 0]
    assert plan.steps[0].ends_in_s == before


def test_cancelling_stops_the_nodes_first() -> None:
    """They are told until they say so, and long enough to overtake an order on its way."""
    plan = running()
    plan.state = Plan.CANCELLING
    at_it = view_of(moving(UNEVEN[0], 5, 4_995), UNEVEN[1], UNEVEN[2])
    advance([plan], at_it, NOW, 4, SETTINGS)
    assert [(order.node, order.action) for order in ordered(plan)] == [("a", Order.SERVE)]
    advance([plan], view_of(*UNEVEN), NOW, 0.5, SETTINGS)
    assert plan.state == Plan.CANCELLED
    assert not ordered(plan)
