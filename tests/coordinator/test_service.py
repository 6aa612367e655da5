"""Tests of `coordinator.service`: what is refused and why, what is written, and what watchers see."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
import trio
from google.protobuf.message import Message
from trio.testing import MockClock

from coordinator.errors import InvalidRequest, NotFound, NotPossible, Unavailable
from protos.catalog_pb2 import Order, Plan
from protos.coordinator_pb2 import DrainRequest, RebalanceRequest, UndrainRequest
from tests.coordinator.coordinators import FakeCoordinator
from tests.coordinator.fleet import Fleet, FleetNode, three_nodes
from tests.fakes.catalog import CatalogStore


async def serving(nursery: trio.Nursery, fleet: Fleet, *, leading: bool = False) -> FakeCoordinator:
    """A coordinator that knows the nodes; by default it only takes requests."""
    coordinator = FakeCoordinator(fleet.store)
    nursery.start_soon(fleet.run)
    nursery.start_soon(lambda: coordinator.run(leading=leading))
    await coordinator.ready(len(fleet.nodes))
    return coordinator


async def exhausted(news: AsyncGenerator[Message, None]) -> None:
    """Whatever is told, to the end."""
    async for _ in news:
        pass


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (DrainRequest(nodes=["node-9"]), NotFound, "node-1, node-2, node-3"),
        (DrainRequest(), InvalidRequest, "name the nodes"),
        (DrainRequest(nodes=["node-1"], all=True), InvalidRequest, "not both"),
        (DrainRequest(all=True), NotPossible, "force"),
        (DrainRequest(nodes=["node-1"], deadline_s=0.5), NotPossible, "deadline of at least"),
    ],
    ids=["unknown node", "no node", "all and some", "nobody left", "too short"],
)
async def test_a_drain_that_cannot_be_is_refused_before_it_begins(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    request_: DrainRequest,
    error: type[Exception],
    words: str,
) -> None:
    """The refusal says what would be possible, and nothing is written."""
    coordinator = await serving(nursery, three_nodes(CatalogStore()))
    with pytest.raises(error, match=words):
        await coordinator.service.drain(request_)
    assert not coordinator.catalog.store.plans
    assert coordinator.telemetry.calls["drain", error.__name__] == 1


async def test_the_last_node_is_drained_with_force_only(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Clients of the last node have nowhere to go: somebody must want that."""
    coordinator = await serving(nursery, Fleet(CatalogStore(), FleetNode("node-1", 10)))
    with pytest.raises(NotPossible, match="no other node"):
        await coordinator.service.drain(DrainRequest(nodes=["node-1"]))
    plan = await coordinator.service.drain(DrainRequest(nodes=["node-1"], force=True))
    assert plan.state == Plan.REQUESTED


async def test_any_coordinator_takes_a_request(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """One that does not lead writes the plan, and the leader carries it out."""
    fleet = three_nodes(CatalogStore())
    follower = await serving(nursery, fleet)
    leader = FakeCoordinator(fleet.store, "leader")
    nursery.start_soon(leader.run)
    await follower.until(lambda: follower.mirror.leader is not None)
    plan = await follower.drained("node-1", pick=Order.LARGEST_FIRST)
    assert plan.state == Plan.DONE
    assert leader.telemetry.plans_ended == {"DONE": 1}


async def test_a_dry_run_writes_nothing(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """What would happen is told, and does not happen."""
    fleet = three_nodes(CatalogStore())
    fleet.nodes["node-4"] = FleetNode("node-4", 0)
    coordinator = await serving(nursery, fleet)
    drain = await coordinator.service.drain(DrainRequest(nodes=["node-1"], dry_run=True))
    assert "600 clients to 3 nodes" in drain.note
    rebalance = await coordinator.service.rebalance(RebalanceRequest(dry_run=True))
    assert sum(step.count for step in rebalance.steps) > 0
    assert not fleet.store.plans


async def test_a_node_is_part_of_one_drain(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Two people who drain the same node do not fight; the second is told of the first."""
    coordinator = await serving(nursery, three_nodes(CatalogStore()))
    plan = await coordinator.service.drain(DrainRequest(nodes=["node-1"]))
    with pytest.raises(NotPossible, match=plan.id):
        await coordinator.service.drain(DrainRequest(nodes=["node-1"]))


async def test_undrain_needs_a_drain(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Of a node that serves there is nothing to undo, and of an unknown one neither."""
    coordinator = await serving(nursery, three_nodes(CatalogStore()))
    with pytest.raises(NotPossible, match="not being drained"):
        await coordinator.service.undrain(UndrainRequest(node="node-1"))
    with pytest.raises(NotFound):
        await coordinator.service.undrain(UndrainRequest(node="node-9"))


async def test_cancelling_is_for_plans_that_run(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """An unknown plan is not found, an ended one has ended; asked twice, it is the same."""
    store = CatalogStore()
    store.set_plan(Plan(id="old", kind=Plan.DRAIN, state=Plan.DONE))
    coordinator = await serving(nursery, three_nodes(store))
    with pytest.raises(NotFound):
        await coordinator.service.cancel("nobody's")
    with pytest.raises(NotPossible, match="has ended"):
        await coordinator.service.cancel("old")
    plan = await coordinator.service.drain(DrainRequest(nodes=["node-1"]))
    for _ in range(2):
        assert (await coordinator.service.cancel(plan.id)).state == Plan.CANCELLING


async def test_without_the_catalog_nothing_is_answered(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """503 instead of old news, also for those who watch."""
    coordinator = await serving(nursery, three_nodes(CatalogStore()))
    service = coordinator.service
    plan = await service.drain(DrainRequest(nodes=["node-1"]))
    async with aclosing(service.watch_nodes()) as nodes, aclosing(service.watch_plan(plan.id)) as plans:
        await anext(nodes)
        await anext(plans)
        coordinator.catalog.reachable = False
        with pytest.raises(Unavailable, match="did not confirm"):
            await service.drain(DrainRequest(nodes=["node-2"]))
        for news in (nodes, plans):
            with trio.fail_after(30), pytest.raises(Unavailable, match="out of reach"):
                await exhausted(news)
    for read in (service.list_nodes, lambda: service.plan(plan.id), service.check_contact):
        with pytest.raises(Unavailable) as refused:
            read()
        # Operators are told the cause, and not everybody.
        assert ("the store is away" in str(refused.value)) == (read == service.check_contact)
    for write in (
        service.drain(DrainRequest(nodes=["node-1"])),
        service.undrain(UndrainRequest(node="node-1")),
        service.rebalance(RebalanceRequest()),
        service.cancel(plan.id),
    ):
        with pytest.raises(Unavailable):
            await write


async def test_before_the_first_word_of_the_catalog_nothing_is_answered(autojump_clock: MockClock) -> None:
    """An empty list would be a lie."""
    with pytest.raises(Unavailable, match="not read yet"):
        FakeCoordinator(CatalogStore()).service.list_nodes()


async def test_watchers_are_told_at_most_twice_a_second(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A hundred nodes that report do not make a hundred answers."""
    fleet = Fleet(CatalogStore(), *(FleetNode(f"node-{number}", number) for number in range(100)))
    coordinator = await serving(nursery, fleet)
    told = []
    with trio.move_on_after(10):
        async with aclosing(coordinator.service.watch_nodes()) as answers:
            async for answer in answers:
                told.append(len(answer.nodes))  # noqa: PERF401 - the time limit must not lose them
    assert 15 <= len(told) <= 21
    assert set(told) == {100}


async def test_a_plan_that_is_lost_ends_its_watch(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A catalog that is emptied in the middle of a drain: who watches is told, and who asks again too."""
    fleet = three_nodes(CatalogStore())
    coordinator = await serving(nursery, fleet, leading=True)
    fleet.nodes["node-1"].connections = 1000
    plan = await coordinator.service.drain(DrainRequest(nodes=["node-1"], deadline_s=120))
    with trio.fail_after(30):
        async with aclosing(coordinator.service.watch_plan(plan.id)) as plans:
            while (await anext(plans)).state != Plan.RUNNING:
                pass
            fleet.store.empty()
            with pytest.raises(NotFound, match=plan.id):
                await exhausted(plans)
        with pytest.raises(NotFound, match=plan.id):
            await exhausted(coordinator.service.watch_plan(plan.id))


async def test_a_plan_written_elsewhere_a_moment_ago_is_waited_for(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Asked for at one coordinator and watched at another: the second may not have heard of it yet."""
    coordinator = await serving(nursery, three_nodes(CatalogStore()))

    async def write_late() -> None:
        await trio.sleep(0.5)
        coordinator.catalog.store.set_plan(Plan(id="late", kind=Plan.DRAIN, state=Plan.DONE))

    nursery.start_soon(write_late)
    assert (await coordinator.ended("late")).state == Plan.DONE


async def test_a_silent_node_is_not_listed(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A catalog that keeps an entry too long makes no node alive."""
    fleet = three_nodes(CatalogStore())
    coordinator = await serving(nursery, fleet)
    del fleet.nodes["node-2"]
    await trio.sleep(6)
    assert [node.name for node in coordinator.service.list_nodes().nodes] == ["node-1", "node-3"]
