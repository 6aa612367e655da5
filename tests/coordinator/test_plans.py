"""All plans together, step by step."""

from collections.abc import Mapping
from typing import Any

import pytest

from coordinator.drain_plan import plan_cancel, plan_drain, plan_undrain
from coordinator.members import Kind, View, gone, seen
from coordinator.pace import Pace
from coordinator.plans import Stepped, step
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import Leaving, NodeReport, NodeStep, Order, Plan
from protos.coordinator_pb2 import DrainRequest
from tests.coordinator.reports import NOW, report, view_of

SETTINGS = PlanSettings(ttl_s=1000)


class Leader:
    """Steps twice per second, and hears reports."""

    def __init__(self, *reports: NodeReport) -> None:
        self.view = view_of(*reports)
        self.plans: list[Plan] = []
        self.now = NOW
        self.pace: Mapping[Kind, Pace] = {}
        self.number = 1

    def ask(self, **request: object) -> Plan:
        plan = plan_drain(
            DrainRequest(**request), f"p{len(self.plans)}", self.view, self.plans, self.now, SETTINGS
        )  # type: ignore[arg-type]
        assert isinstance(plan, Plan), plan
        self.plans.append(plan)
        return plan

    def hear(self, *reports: NodeReport) -> None:
        self.number += 1
        for each in reports:
            each.number = self.number
            self.view = seen(self.view, each, self.now)

    def step(self, times: int = 1) -> dict[str, Order]:
        for _ in range(times):
            stepped: Stepped = step(self.plans, self.view, self.now, SETTINGS, self.pace, 1e9 + self.now)
            self.plans, self.pace = stepped.plans, stepped.pace
            self.now += 0.5
        return {order.node: order for order in stepped.orders}

    def states(self) -> list[NodeStep.State]:
        return [step.state for step in self.plans[0].steps]


def leaving(phase: Leaving.Phase, plan_id: str = "p0", **how: object) -> Leaving:
    return Leaving(phase=phase, plan_id=plan_id, ends_in_s=50, **how)  # type: ignore[arg-type]


def test_a_drain_from_request_to_end() -> None:
    """Taken up, ordered and held while arrivals stop, paced, over when empty; moments are stamped."""
    leader = Leader(report("a"), report("b"), report("c"))
    leader.ask(nodes=["a"])
    order = leader.step()["a"]
    assert (order.action, order.rate, order.ends_in_s, order.instance) == (Order.DRAIN, 0, 60, "a-1")
    assert leader.plans[0].started_at == 1e9 + NOW
    leader.hear(report("a", leaving=leaving(Leaving.WAITING)))
    assert leader.step()["a"].rate == 0
    leader.hear(report("a", leaving=leaving(Leaving.SENDING)))
    assert leader.step()["a"].rate == 140
    assert leader.step()["a"].rate == 140
    leader.hear(report("a", 0, leaving=leaving(Leaving.EMPTY, sent_away=1000)))
    assert leader.step() == {}
    assert leader.plans[0].state == Plan.DONE
    assert leader.plans[0].note == "1000 clients were sent away"
    assert leader.plans[0].ended_at > leader.plans[0].started_at


def test_one_client_is_told_as_one() -> None:
    """People read the notes."""
    leader = Leader(report("a", 1), report("b", 0))
    assert leader.ask(nodes=["a"]).note.startswith("1 client to 1 node: ")
    leader.step()
    leader.hear(report("a", 0, leaving=leaving(Leaving.EMPTY, sent_away=1)))
    leader.step()
    assert leader.plans[0].note == "1 client was sent away"


def test_given_plans_are_not_changed() -> None:
    """A step that cannot be written down has not happened."""
    leader = Leader(report("a"), report("b"))
    plan = leader.ask(nodes=["a"])
    leader.step()
    assert plan.state == Plan.REQUESTED
    assert leader.plans[0].state == Plan.RUNNING


def test_of_two_requests_that_exclude_each_other_the_second_fails() -> None:
    """They were asked of two coordinators at once; the leader looks again."""
    leader = Leader(report("a"), report("b"))
    first = leader.ask(nodes=["a"])
    leader.plans = []
    second = leader.ask(nodes=["b"])
    second.id = "q"
    leader.plans = [first, second]
    assert set(leader.step()) == {"a"}
    assert leader.plans[1].state == Plan.FAILED
    assert "no other node would be left" in leader.plans[1].note


def test_a_rolling_drain_takes_one_after_another_and_puts_it_back() -> None:
    """The next one leaves when the one before serves again."""
    leader = Leader(report("a"), report("b"), report("c"))
    leader.ask(all=True, unavailable_max=1, deadline_s=90)
    assert set(leader.step()) == {"a"}
    leader.hear(report("a", 0, leaving=leaving(Leaving.EMPTY)))
    assert {name: order.action for name, order in leader.step().items()} == {"a": Order.SERVE}
    leader.hear(report("a", 0))
    assert {name: order.action for name, order in leader.step(2).items()} == {"b": Order.DRAIN}
    assert leader.states() == [NodeStep.DONE, NodeStep.ORDERED, NodeStep.PENDING]


def test_a_failure_ends_a_rolling_drain() -> None:
    """Whatever made one node fail must not take the next one, too."""
    leader = Leader(report("a"), report("b"), report("c"))
    leader.ask(all=True, unavailable_max=1, deadline_s=90)
    leader.step()
    leader.hear(report("a", instance="a-2"))
    assert leader.step() == {}
    assert leader.plans[0].state == Plan.FAILED
    assert "a: was started anew" in leader.plans[0].note
    assert "2 nodes were left as they are" in leader.plans[0].note


def test_a_node_that_stops_by_itself_is_paced_with_the_others() -> None:
    """It gets a plan of its own at once, whose id any leader would give it."""
    leader = Leader(report("a"), report("b"), report("c"))
    leader.hear(report("a", leaving=leaving(Leaving.SENDING, "", on_its_own=True, stop=True)))
    order = leader.step()["a"]
    order = leader.step()["a"]
    assert (order.action, order.stop, order.rate) == (Order.DRAIN, True, 140)
    assert 45 < order.ends_in_s <= 50
    (plan,) = leader.plans
    assert (plan.id, plan.on_its_own, plan.state) == ("own-a-1", True, Plan.RUNNING)
    leader.hear(report("a", 0, leaving=leaving(Leaving.EMPTY, "own-a-1", on_its_own=True, stop=True)))
    leader.step()
    leader.view = gone(leader.view, "a")
    leader.step()
    assert leader.plans[0].state == Plan.DONE


def test_the_last_node_that_stops_by_itself_goes_at_its_own_pace() -> None:
    """It is told nothing: nobody could receive, and it is never refused."""
    leader = Leader(report("a", leaving=leaving(Leaving.SENDING, "", on_its_own=True, stop=True, rate=33)))
    assert leader.step(3) == {}
    assert leader.plans[0].state == Plan.RUNNING
    assert leader.plans[0].steps[0].rate == 33


def test_a_node_that_stops_while_the_others_are_full_goes_at_its_own_pace() -> None:
    """From the first moment it is told nothing, least of all to hold: it could only go all at once then."""
    own: dict[str, Any] = {"plan_id": "", "on_its_own": True, "stop": True}
    full = report("b", 10_000)
    leader = Leader(report("a", leaving=leaving(Leaving.WAITING, **own)), full)
    assert leader.step(3) == {}
    leader.hear(report("a", leaving=leaving(Leaving.SENDING, rate=33, **own)), full)
    assert leader.step(3) == {}
    assert leader.plans[0].steps[0].rate == 33
    leader.hear(report("b", 9_000))
    assert leader.step()["a"].rate > 33


def test_a_node_that_gets_a_signal_in_a_drain_is_never_held() -> None:
    """Nobody has room any more: until then the drain waits, and from then on the node is on its own."""
    leader = Leader(report("a"), report("b"))
    leader.ask(nodes=["a"])
    leader.step()
    full = report("b", 10_000)
    leader.hear(report("a", leaving=leaving(Leaving.SENDING)), full)
    assert leader.step()["a"].rate == 0
    leader.hear(report("a", leaving=leaving(Leaving.SENDING, on_its_own=True, stop=True, rate=33)), full)
    assert leader.step() == {}
    assert [step.rate for step in leader.plans[0].steps] == [33]


def test_a_node_that_stops_among_busy_ones_never_goes_all_at_once() -> None:
    """Whoever comes by itself uses all that the receivers take: its clients are spread until its deadline."""
    busy = [report("b"), report("c")]
    for each in busy:
        each.connect_rate = 95
    sending = Leaving(phase=Leaving.SENDING, on_its_own=True, stop=True, ends_in_s=13)
    leader = Leader(report("a", leaving=sending), *busy)
    assert 95 <= leader.step(2)["a"].rate <= 110


def test_a_forced_drain_without_receivers_is_spread_until_its_deadline() -> None:
    """They are to go, wherever they find someone."""
    leader = Leader(report("a"))
    leader.ask(nodes=["a"], force=True)
    leader.step()
    leader.hear(report("a", leaving=leaving(Leaving.SENDING)))
    assert 15 < leader.step()["a"].rate < 25


def test_a_drain_is_held_while_nobody_can_receive() -> None:
    """The receivers died after it began; the clients are better off where they are."""
    leader = Leader(report("a"), report("b"))
    leader.ask(nodes=["a"])
    leader.step()
    leader.hear(report("a", leaving=leaving(Leaving.SENDING)))
    leader.view = gone(leader.view, "b")
    assert leader.step()["a"].rate == 0
    assert leader.plans[0].steps[0].note == "no node can take clients now"


def test_a_vanished_node_uses_nothing_of_the_budget() -> None:
    """The others get all of it, and it gets no orders."""
    leader = Leader(report("a"), report("b"), report("c"))
    leader.ask(nodes=["a", "b"], deadline_s=90)
    leader.step()
    leader.hear(*(report(name, leaving=leaving(Leaving.SENDING)) for name in "ab"))
    assert leader.step()["b"].rate == 35
    leader.view = gone(leader.view, "a")
    orders = leader.step()
    assert set(orders) == {"b"}
    assert orders["b"].rate == 70


def test_nodes_of_the_other_kind_neither_help_nor_hinder() -> None:
    """Drains of both kinds run side by side, each at the pace of its own receivers."""
    stay = [report("b"), report("h", rate=10, transport="grpc")]
    leader = Leader(report("a"), report("g", transport="grpc"), *stay)
    leader.ask(nodes=["a"])
    leader.ask(nodes=["g"], force=True)
    leader.step()
    leader.hear(report("a", leaving=leaving(Leaving.SENDING)))
    leader.hear(report("g", leaving=leaving(Leaving.SENDING, "p1"), transport="grpc"))
    orders = leader.step()
    assert (orders["a"].rate, orders["g"].rate) == (70, pytest.approx(9))
    # What a plan sent to one kind explains no arrivals at the other: these come by themselves.
    for each in stay:
        each.connect_rate = 70 if each.name == "b" else 9
    leader.hear(*stay)
    orders = leader.step(20)
    assert (orders["a"].rate, orders["g"].rate) == (pytest.approx(70), pytest.approx(9, abs=3))


def test_the_last_node_of_its_kind_goes_at_its_own_pace() -> None:
    """Whoever serves something else beside it could not take its clients."""
    stops = leaving(Leaving.SENDING, "", on_its_own=True, stop=True, rate=33)
    leader = Leader(report("g", leaving=stops, transport="grpc"), report("a"))
    assert leader.step(3) == {}
    assert leader.plans[0].steps[0].rate == 33


def test_a_rolling_drain_waits_for_a_node_of_the_same_kind() -> None:
    """The other gRPC node died meanwhile: the last one stays in rotation until there is another."""
    grpc = [report(name, transport="grpc") for name in "gh"]
    leader = Leader(report("a"), report("b"), *grpc)
    leader.ask(nodes=["a", "g"], unavailable_max=1, deadline_s=90)
    leader.step()
    leader.view = gone(leader.view, "h")
    leader.hear(report("a", 0, leaving=leaving(Leaving.EMPTY)))
    leader.step()
    leader.hear(report("a", 0))
    assert leader.step(2) == {}
    assert leader.plans[0].steps[1].note == "waits: no other node could take its clients"
    leader.hear(grpc[1])
    assert set(leader.step()) == {"g"}


def test_cancelling_puts_the_nodes_back() -> None:
    """They are told to serve until they do, long enough to overtake an order to leave."""
    leader = Leader(report("a"), report("b"))
    leader.ask(nodes=["a"])
    leader.step()
    cancelling = plan_cancel(leader.plans[0])
    assert isinstance(cancelling, Plan)
    leader.plans = [cancelling]
    assert leader.step(2)["a"].action == Order.SERVE
    leader.hear(report("a", leaving=leaving(Leaving.WAITING)))
    assert leader.step(10)["a"].action == Order.SERVE
    leader.hear(report("a"))
    assert leader.step() == {}
    assert leader.plans[0].state == Plan.CANCELLED


def test_a_node_that_does_not_come_back_does_not_hold_a_cancellation_up() -> None:
    """It is said, and that is the end."""
    leader = Leader(report("a", leaving=leaving(Leaving.WAITING)), report("b"))
    leader.plans = [Plan(id="p0", kind=Plan.DRAIN, state=Plan.CANCELLING)]
    leader.plans[0].steps.add(node="a", instance="a-1", state=NodeStep.WAITING)
    assert leader.step(80) == {}
    assert leader.plans[0].state == Plan.CANCELLED
    assert leader.plans[0].steps[0].note == "did not go back into rotation"


def test_an_undrain_takes_one_node_out_of_a_drain() -> None:
    """The other one goes on; there is one order per node, and it is to serve."""
    leader = Leader(report("a"), report("b"), report("c"))
    leader.ask(nodes=["a", "b"], deadline_s=90)
    leader.step()
    leader.hear(*(report(name, leaving=leaving(Leaving.WAITING)) for name in "ab"))
    undrain = plan_undrain("a", "u", leader.view, leader.plans, leader.now, SETTINGS)
    assert isinstance(undrain, Plan)
    leader.plans.append(undrain)
    orders = leader.step()
    assert {name: order.action for name, order in orders.items()} == {"a": Order.SERVE, "b": Order.DRAIN}
    assert leader.plans[0].steps[0].note == "put back into rotation by plan u"
    leader.hear(report("a"))
    leader.step(8)
    assert leader.plans[1].state == Plan.CANCELLED


def test_an_undrain_of_a_node_whose_turn_has_not_come_keeps_it() -> None:
    """It never leaves; the node whose turn it is is emptied, and the drain says why it went no further."""
    leader = Leader(report("a"), report("b"), report("c"))
    leader.ask(nodes=["a", "b"], unavailable_max=1, deadline_s=90)
    assert set(leader.step()) == {"a"}
    undrain = plan_undrain("b", "u", leader.view, leader.plans, leader.now, SETTINGS)
    assert isinstance(undrain, Plan)
    leader.plans.append(undrain)
    leader.step(8)
    assert leader.plans[1].state == Plan.CANCELLED
    leader.hear(report("a", 0, leaving=leaving(Leaving.EMPTY)))
    leader.step()
    leader.hear(report("a", 0))
    assert leader.step(2) == {}
    assert leader.states() == [NodeStep.DONE, NodeStep.FAILED]
    assert (leader.plans[0].state, leader.plans[0].note) == (
        Plan.FAILED,
        "b: put back into rotation by plan u",
    )


def test_a_leader_that_knows_no_node_orders_nothing() -> None:
    """The catalog was emptied: plans wait for the nodes to register again."""
    leader = Leader(report("a"), report("b"))
    leader.ask(nodes=["a"])
    leader.step()
    full, leader.view = leader.view, View()
    assert leader.step() == {}
    leader.view = full
    assert set(leader.step()) == {"a"}
