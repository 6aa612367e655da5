"""The time of day may jump as it likes: leases, plans and rates go by clocks that do not."""

import random
from collections.abc import Callable

import trio
from trio.testing import MockClock

from coordinator.catalog.board import Board
from protos.catalog_pb2 import NodeReport, Plan
from protos.coordinator_pb2 import DrainRequest
from tests.coordinator.coordinators import FakeCoordinator
from tests.coordinator.fleet import three_nodes
from tests.fakes.catalog import CatalogStore

YEAR_S = 365 * 24 * 3600.0


def jumping(rng: random.Random) -> Callable[[], float]:
    """A time of day that is set anew whenever somebody looks at it, by up to a year to either side."""
    return lambda: 1.7e9 + rng.uniform(-YEAR_S, YEAR_S)


async def drained(unix: Callable[[], float]) -> tuple[Plan, float, list[int]]:
    """Drain a node with two coordinators of which the leader dies: the plan, how long it took, and fences."""
    store = CatalogStore()
    fleet = three_nodes(store, 3000)
    first, second = (FakeCoordinator(store, name, unix=unix) for name in ("first", "second"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fleet.run)
        nursery.start_soon(first.run)
        await first.until(lambda: first.control.fence is not None)
        nursery.start_soon(second.run)
        await second.ready(3)
        began = trio.current_time()
        plan = await second.service.drain(DrainRequest(nodes=["node-1"], deadline_s=60))
        await second.until(lambda: fleet.nodes["node-1"].connections < 2500)
        first.catalog.reachable = False
        first.scope.cancel()
        ended = await second.ended(plan.id)
        took_s = trio.current_time() - began
        nursery.cancel_scope.cancel()
    assert fleet.total == 9000
    return ended, took_s, [order.fence for order in store.written]


async def test_a_time_of_day_that_jumps_changes_no_plan(autojump_clock: MockClock) -> None:
    """Two leaders one after the other need as long for a drain, and send as many, as with a steady one."""
    steady, steady_s, _ = await drained(trio.current_time)
    jumped, jumped_s, fences = await drained(jumping(random.Random(1)))
    assert (
        (jumped.state, jumped.note)
        == (steady.state, steady.note)
        == (Plan.DONE, "3000 clients were sent away")
    )
    assert jumped.steps[0].sent_away == steady.steps[0].sent_away
    # A step of the plan more or less is chance.
    assert abs(jumped_s - steady_s) <= 2
    assert fences == sorted(fences)
    assert jumped.fence == 2


async def test_a_fence_only_grows_when_the_time_of_day_goes_back(autojump_clock: MockClock) -> None:
    """The time of day is no more than a lower bound, for a catalog that was emptied."""
    board = Board(ttl_s=5)
    last = 0
    unix = jumping(random.Random(2))
    for _ in range(100):
        fence = board.fence_above(last, unix())
        assert fence > last
        last = fence
    board.node_seen(NodeReport(name="node-1", instance="a", number=1, fence=last))
    # Nothing is known of the last leader any more, but what the nodes say.
    assert board.fence_above(0, 0.0) > last
