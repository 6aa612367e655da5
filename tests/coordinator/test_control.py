"""Tests of `coordinator.control` and `coordinator.leading`: several coordinators, one catalog, one leader."""

from contextlib import aclosing

import trio
import trio.lowlevel
from trio.testing import MockClock

from coordinator.settings import PlanSettings, RebalanceSettings
from protos.catalog_pb2 import NodeReport, Order, Plan
from protos.coordinator_pb2 import DrainRequest, UndrainRequest
from tests.coordinator.coordinators import FakeCoordinator
from tests.coordinator.fleet import FleetNode, three_nodes
from tests.fakes.catalog import CatalogStore


async def test_a_drain_is_carried_from_the_request_to_the_end(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The node is ordered out, emptied at a pace, and the plan says that it is done."""
    store = CatalogStore()
    fleet, coordinator = three_nodes(store), FakeCoordinator(store)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    await coordinator.ready(3)
    plan = await coordinator.drained("node-1", deadline_s=60)
    assert plan.state == Plan.DONE, plan.note
    assert fleet.nodes["node-1"].connections == 0
    assert fleet.total == 1800
    assert plan.requested_at <= plan.started_at < plan.ended_at
    assert coordinator.telemetry.plans_ended == {"DONE": 1}


async def test_orders_carry_the_fence_and_grow_in_number(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A node can tell an old order from a new one, and hears every second that its order is in force."""
    store = CatalogStore()
    fleet, coordinator = three_nodes(store), FakeCoordinator(store)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    await coordinator.ready(3)
    await coordinator.drained("node-1")
    orders = [order for order in store.written if order.action == Order.DRAIN]
    assert {order.fence for order in orders} == {store.fence}
    numbers = [order.number for order in orders]
    assert numbers == sorted(set(numbers))
    assert len(orders) > 3


async def test_a_killed_leader_is_replaced_and_its_drain_goes_on(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The next leader takes the plan up where it was, with a higher fence, and nobody is lost."""
    store = CatalogStore()
    fleet = three_nodes(store, 3000)
    first, second = FakeCoordinator(store, "first"), FakeCoordinator(store, "second")
    nursery.start_soon(fleet.run)
    nursery.start_soon(first.run)
    await first.until(lambda: first.control.fence is not None)
    nursery.start_soon(second.run)
    await second.ready(3)
    plan = await second.service.drain(DrainRequest(nodes=["node-1"], deadline_s=60))
    await second.until(lambda: fleet.nodes["node-1"].connections < 2500)
    first.catalog.reachable = False  # killed: it does not say goodbye
    first.scope.cancel()
    ended = await second.ended(plan.id)
    assert ended.state == Plan.DONE, ended.note
    assert second.control.fence == 2
    assert fleet.total == 9000
    fences = [order.fence for order in store.written]
    assert fences == sorted(fences)
    assert ended.fence == 2


async def test_a_leader_that_resigns_is_replaced_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A coordinator that is stopped in order leaves no gap of a time to live."""
    store = CatalogStore()
    first, second = FakeCoordinator(store, "first"), FakeCoordinator(store, "second")
    nursery.start_soon(first.run)
    await first.until(lambda: first.control.fence is not None)
    nursery.start_soon(second.run)
    await second.until(lambda: second.mirror.leader is not None)
    began = trio.current_time()
    first.scope.cancel()
    await second.until(lambda: second.control.fence is not None)
    assert trio.current_time() - began < 1.5


async def test_a_leader_cut_off_stops_leading_within_its_time_to_live(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Who cannot renew must not go on: at the same moment another one may begin."""
    store = CatalogStore(leader_ttl_s=5)
    coordinator = FakeCoordinator(store, leader_ttl_s=5)
    nursery.start_soon(coordinator.run)
    await coordinator.until(lambda: coordinator.control.fence is not None)
    coordinator.catalog.reachable = False
    await trio.sleep(5.01)
    assert coordinator.control.fence is None
    coordinator.catalog.reachable = True
    await coordinator.until(lambda: coordinator.control.fence == 2)


async def test_a_leader_that_was_voted_out_stops(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A renewal that is refused ends the term at once."""
    store = CatalogStore()
    coordinator = FakeCoordinator(store)
    nursery.start_soon(coordinator.run)
    await coordinator.until(lambda: coordinator.control.fence is not None)
    store.fence = 7
    store.set_leader(None)
    await coordinator.until(lambda: coordinator.control.fence == 8)


async def test_a_cancelled_drain_puts_the_node_back(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Whoever cancels while the leader writes the same plan comes through."""
    store = CatalogStore()
    fleet, coordinator = three_nodes(store, 3000), FakeCoordinator(store)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    await coordinator.ready(3)
    plan = await coordinator.service.drain(DrainRequest(nodes=["node-1"]))
    await coordinator.until(lambda: fleet.nodes["node-1"].connections < 2500)
    await coordinator.service.cancel(plan.id)
    ended = await coordinator.ended(plan.id)
    assert ended.state == Plan.CANCELLED
    assert fleet.nodes["node-1"].state == NodeReport.SERVING
    assert fleet.nodes["node-1"].connections > 0


async def test_undrain_puts_a_drained_node_back(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A node that was emptied and stays takes sessions again when it is told to."""
    store = CatalogStore()
    fleet, coordinator = three_nodes(store), FakeCoordinator(store)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    await coordinator.ready(3)
    await coordinator.drained("node-1")
    await coordinator.service.undrain(UndrainRequest(node="node-1"))
    await coordinator.until(lambda: fleet.nodes["node-1"].state == NodeReport.SERVING)


async def test_orders_that_are_over_are_taken_away(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """What a leader or one before it ordered does not stay in the catalog for a node to find later."""
    store = CatalogStore()
    store.orders["node-2"] = Order(node="node-2", instance="node-2-instance", action=Order.SERVE)
    fleet, coordinator = three_nodes(store), FakeCoordinator(store)
    nursery.start_soon(fleet.run)
    await trio.lowlevel.checkpoint()
    nursery.start_soon(coordinator.run)
    await coordinator.ready(3)
    await coordinator.until(lambda: "node-2" not in store.orders)
    plan = await coordinator.service.drain(DrainRequest(nodes=["node-1"]))
    await coordinator.until(lambda: "node-1" in store.orders)
    await coordinator.service.cancel(plan.id)
    await coordinator.ended(plan.id)
    await coordinator.until(lambda: not store.orders)


async def test_a_node_that_leaves_on_its_own_gets_a_plan(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A process that was told to stop is paced like any other, and nobody can refuse or cancel it."""
    store = CatalogStore()
    fleet, coordinator = three_nodes(store), FakeCoordinator(store)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    await coordinator.ready(3)
    fleet.nodes["node-2"].state, fleet.nodes["node-2"].on_its_own = NodeReport.LEAVING, True
    await coordinator.until(lambda: bool(store.plans))
    (plan, _), *others = store.plans.values()
    assert not others
    assert plan.on_its_own
    assert [step.node for step in plan.steps] == ["node-2"]


async def test_a_running_plan_is_written_once_a_second_and_when_a_state_changes(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The leader steps ten times a second and shows it to who asks it; the catalog hears what counts."""
    store = CatalogStore()
    fleet, coordinator = three_nodes(store, 3000), FakeCoordinator(store, tick_s=0.1)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    await coordinator.ready(3)
    began = trio.current_time()
    plan = await coordinator.service.drain(DrainRequest(nodes=["node-1"], deadline_s=60))
    async with aclosing(coordinator.service.watch_plan(plan.id)) as forms:
        seen = len([form async for form in forms])
    taken_s = trio.current_time() - began
    assert taken_s > 4
    assert taken_s <= len(store.plans_written) <= taken_s + 6
    assert seen > 3 * taken_s


async def test_ended_plans_are_forgotten_in_the_end(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """The catalog does not grow: only the last plans are kept, whatever the time of day was at their ends."""
    store = CatalogStore()
    for number in range(10):
        store.set_plan(Plan(id=f"plan-{number}", kind=Plan.DRAIN, state=Plan.DONE, ended_at=100 - number))
    coordinator = FakeCoordinator(store, plans_kept=3)
    nursery.start_soon(coordinator.run)
    await coordinator.until(lambda: len(store.plans) == 3)
    assert sorted(store.plans) == ["plan-7", "plan-8", "plan-9"]


async def test_plans_are_held_while_the_catalog_is_away(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A leader does not decide on old news, and goes on when the catalog is back."""
    store = CatalogStore(leader_ttl_s=60)
    fleet, coordinator = three_nodes(store, 3000), FakeCoordinator(store, leader_ttl_s=60)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    await coordinator.ready(3)
    plan = await coordinator.service.drain(DrainRequest(nodes=["node-1"], deadline_s=120))
    await coordinator.until(lambda: fleet.nodes["node-1"].connections < 2500)
    coordinator.catalog.reachable = False
    await trio.sleep(8)
    assert not coordinator.mirror.usable
    assert coordinator.telemetry.catalog_errors["CatalogUnavailable"]
    coordinator.catalog.reachable = True
    await coordinator.until(lambda: coordinator.mirror.usable)
    assert (await coordinator.ended(plan.id)).state == Plan.DONE


async def test_load_is_evened_out_by_itself_where_that_is_wanted(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """After a node was added the automatic mode moves clients to it, without being asked."""
    store = CatalogStore()
    fleet = three_nodes(store, 3000)
    fleet.nodes["node-4"] = FleetNode("node-4", 0)
    settings = PlanSettings(rebalance=RebalanceSettings(automatic=True, interval_s=5))
    coordinator = FakeCoordinator(store, settings=settings)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    await coordinator.until(lambda: any(plan.kind == Plan.REBALANCE for plan, _ in store.plans.values()))
    (plan,) = [plan for plan, _ in store.plans.values() if plan.kind == Plan.REBALANCE]
    assert (await coordinator.ended(plan.id)).state == Plan.DONE
    assert fleet.nodes["node-4"].connections > 1500
