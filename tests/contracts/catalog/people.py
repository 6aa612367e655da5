"""Who meets in a catalog: nodes that report, and a coordinator that watches. No test lives here."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import trio

from coordinator.catalog.interface import (
    Catalog,
    CaughtUp,
    Event,
    LeaderSeen,
    NodeGone,
    NodeSeen,
    PlanGone,
    PlanSeen,
    Term,
)
from protos.catalog_pb2 import Address, NodeReport, Order
from tests.contracts.catalog.places import Place
from tests.patience import PATIENCE_S


class Reporter:
    """A node: what it says of itself, and what it was ordered.

    Attributes:
        orders: in the order they came.
        silent: it hangs: its reports do not come any more.
    """

    def __init__(self, name: str, instance: str) -> None:
        self.name = name
        self.instance = instance
        self.state = NodeReport.SERVING
        self.orders: list[Order] = []
        self.connections = 0
        self._number = 0

    def report(self) -> NodeReport:
        self._number += 1
        return NodeReport(
            name=self.name,
            instance=self.instance,
            number=self._number,
            state=self.state,
            version="1.2.3",
            connections=self.connections,
            capacity=1000,
            connect_rate_max=200.5,
            memory_bytes=2**40,
            addresses=[
                Address(transport="websocket", url="ws://10.0.0.1:8000/connection/websocket"),
                Address(transport="http", url="http://10.0.0.1:8000"),
            ],
        )


@asynccontextmanager
async def registered(place: Place, name: str, instance: str = "i1") -> AsyncIterator[tuple[Reporter, "Task"]]:
    """A node whose side of the catalog runs until the block is left."""
    reporter = Reporter(name, instance)
    async with place.node(name) as catalog, trio.open_nursery() as nursery:
        task = Task(catalog, reporter, nursery)
        task.start()
        yield reporter, task
        nursery.cancel_scope.cancel()


class Task:
    """A node's side of the catalog at work.

    Attributes:
        catalog: the side itself.
    """

    def __init__(self, catalog: object, reporter: Reporter, nursery: trio.Nursery) -> None:
        self.catalog = catalog
        self._reporter = reporter
        self._nursery = nursery
        self._scope = trio.CancelScope()

    def start(self) -> None:
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._run, self._scope)

    def stop(self) -> None:
        """Nothing is said any more, as when the process hangs."""
        self._scope.cancel()

    async def leave(self) -> None:
        self.stop()
        await self.catalog.leave()  # type: ignore[attr-defined]

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            await self.catalog.run(  # type: ignore[attr-defined]
                self._reporter.report, self._reporter.orders.append
            )


class Watcher:
    """A coordinator that watches.

    Attributes:
        catalog: its side.
        events: what was yielded, in order.
        nodes, plans: what it makes of that.
        leader: the name of who leads.
        caught_up: how often it was.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.events: list[Event] = []
        self.nodes: dict[str, NodeReport] = {}
        self.plans: dict[str, PlanSeen] = {}
        self.leader = ""
        self.caught_up = 0

    async def watch(self) -> None:
        async with aclosing(self.catalog.watch()) as events:  # type: ignore[type-var]
            async for event in events:
                self._take(event)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case NodeSeen(report):
                self.nodes[report.name] = report
            case NodeGone(name):
                self.nodes.pop(name, None)
            case PlanSeen(plan):
                self.plans[plan.id] = event
            case PlanGone(plan_id):
                self.plans.pop(plan_id, None)
            case LeaderSeen(leader):
                self.leader = leader.name if leader else ""
            case CaughtUp():
                self.caught_up += 1

    async def until(self, condition: Callable[[], object], within_s: float = PATIENCE_S) -> float:
        """Wait until something holds; returns how long that took."""
        return await until(condition, within_s)


async def until(condition: Callable[[], object], within_s: float = PATIENCE_S) -> float:
    """Wait until something holds, which happens in another process; returns how long that took."""
    began_at = trio.current_time()
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - several sources, and no event of theirs
            await trio.sleep(0.01)
    return trio.current_time() - began_at


@asynccontextmanager
async def watching(place: Place, name: str = "c1") -> AsyncIterator[Watcher]:
    """A coordinator's side that runs, and has caught up."""
    watcher = Watcher(place.view(name))
    assert watcher.catalog.contact_s == math.inf
    async with trio.open_nursery() as nursery:
        await nursery.start(watcher.catalog.run)
        nursery.start_soon(watcher.watch)
        await until(lambda: watcher.caught_up)
        yield watcher
        nursery.cancel_scope.cancel()


async def led(watcher: Watcher, name: str, within_s: float = PATIENCE_S) -> Term:
    """Try to lead until it is so."""
    with trio.fail_after(within_s):
        while True:
            term = await watcher.catalog.lead(name, f"http://{name}")
            if term is not None:
                return term
            await trio.sleep(0.1)
