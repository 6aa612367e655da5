"""A catalog in memory: the coordinators' side in full, and what nodes write as plain methods of its store."""

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import trio

from coordinator.catalog.interface import (
    CatalogUnavailable,
    CaughtUp,
    Conflict,
    Event,
    LeaderSeen,
    NodeGone,
    NodeSeen,
    PlanGone,
    PlanSeen,
)
from protos.catalog_pb2 import Leader, NodeReport, Order, Plan

_CHECK_S = 0.1


def _copy(message):
    """What a network does: nobody shares an object with anybody."""
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


@dataclass
class CatalogStore:
    """What the catalogs of one test share.

    Attributes:
        orders: the last one of each node.
        written: every order that was ever written, in order.
        plans_written: every form of a plan that was ever written, in order.
        up: nobody reaches it otherwise.
    """

    leader_ttl_s: float = 5.0
    ttl_s: float = math.inf
    nodes: dict[str, NodeReport] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    plans: dict[str, tuple[Plan, int]] = field(default_factory=dict)
    written: list[Order] = field(default_factory=list)
    plans_written: list[Plan] = field(default_factory=list)
    leader: Leader | None = None
    fence: int = 0
    leads_until: float = -math.inf
    revision: int = 1
    up: bool = True
    _changed: dict[str, tuple[int, Event]] = field(default_factory=dict)
    _silent_at: dict[str, float] = field(default_factory=dict)
    news: trio.Event = field(default_factory=trio.Event)

    def report(self, report: NodeReport) -> None:
        """A node reports."""
        self.nodes[report.name] = _copy(report)
        self._silent_at[report.name] = trio.current_time() + self.ttl_s
        self._tell(f"nodes/{report.name}", NodeSeen(_copy(report)))

    def gone(self, name: str) -> None:
        """A node takes its entry out."""
        if self.nodes.pop(name, None) is not None:
            self._tell(f"nodes/{name}", NodeGone(name))

    def stop(self) -> None:
        """It does not answer any more; who reports meanwhile is not silent."""
        self.up = False

    def start(self) -> None:
        """It is back, with all it had."""
        self.up = True
        self._silent_at = dict.fromkeys(self.nodes, trio.current_time() + self.ttl_s)

    def empty(self) -> None:
        """Everything is lost."""
        for plan_id in list(self.plans):
            self.remove_plan(plan_id)
        for name in list(self.nodes):
            self.gone(name)
        self.orders.clear()
        self.set_leader(None)

    def expire(self) -> None:
        """Silence has its consequences."""
        if not self.up:
            return
        now = trio.current_time()
        for name in [name for name in self.nodes if self._silent_at[name] < now]:
            self.gone(name)
        if self.leader is not None and self.leads_until < now:
            self.set_leader(None)

    def set_leader(self, leader: Leader | None) -> None:
        self.leader = leader
        self._tell("leader", LeaderSeen(None if leader is None else _copy(leader)))

    def set_plan(self, plan: Plan) -> int:
        version = self.revision + 1
        self.plans[plan.id] = (_copy(plan), version)
        self.plans_written.append(_copy(plan))
        self._tell(f"plans/{plan.id}", PlanSeen(_copy(plan), version))
        return version

    def remove_plan(self, plan_id: str) -> None:
        if self.plans.pop(plan_id, None) is not None:
            self._tell(f"plans/{plan_id}", PlanGone(plan_id))

    def plan(self, plan_id: str) -> Plan:
        return self.plans[plan_id][0]

    def _tell(self, key: str, event: Event) -> None:
        self.revision += 1
        self._changed[key] = (self.revision, event)
        self.news.set()
        self.news = trio.Event()

    def since(self, seen: int) -> list[tuple[int, Event]]:
        """What changed since a revision, oldest first; since 0: what is there."""
        entries = sorted(self._changed.values(), key=lambda entry: entry[0])
        if not seen:
            entries = [entry for entry in entries if not isinstance(entry[1], NodeGone | PlanGone)]
        return [entry for entry in entries if entry[0] > seen]


class FakeCatalog:
    """One coordinator's connection to the store.

    Attributes:
        reachable: False cuts the connection.
    """

    def __init__(self, store: CatalogStore) -> None:
        self.store = store
        self.reachable = True
        self._answered_at = -math.inf

    @property
    def contact_s(self) -> float:
        if self._in_reach and self._answered_at > -math.inf:
            self._answered_at = trio.current_time()
        return trio.current_time() - self._answered_at

    @property
    def failure(self) -> str:
        return "" if self._in_reach else "the store is away"

    @property
    def _in_reach(self) -> bool:
        return self.reachable and self.store.up

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            if self._in_reach:
                self._answered_at = trio.current_time()
            await trio.sleep(_CHECK_S)
            self.store.expire()

    async def watch(self) -> AsyncIterator[Event]:
        seen, in_reach = 0, False
        while True:
            if not self._in_reach:
                in_reach = False
            else:
                for revision, event in self.store.since(seen):
                    seen = revision
                    yield event
                if not in_reach:
                    in_reach, seen = True, max(seen, 1)
                    if self.store.leader is None:
                        yield LeaderSeen(None)
                    yield CaughtUp()
            with trio.move_on_after(_CHECK_S):
                await self.store.news.wait()

    async def put_order(self, order: Order) -> None:
        await self._reach()
        self.store.orders[order.node] = _copy(order)
        self.store.written.append(_copy(order))

    async def clear_order(self, node: str) -> None:
        await self._reach()
        self.store.orders.pop(node, None)

    async def put_plan(self, plan: Plan, version: int) -> int:
        await self._reach()
        if self.store.plans.get(plan.id, (None, 0))[1] != version:
            raise Conflict(f"plans/{plan.id} has another version")
        return self.store.set_plan(plan)

    async def remove_plan(self, plan_id: str) -> None:
        await self._reach()
        self.store.remove_plan(plan_id)

    async def lead(self, name: str, url: str) -> "FakeTerm | None":
        await self._reach()
        self.store.expire()
        if self.store.leader is not None:
            return None
        self.store.fence += 1
        self.store.leads_until = trio.current_time() + self.store.leader_ttl_s
        self.store.set_leader(Leader(name=name, url=url, fence=self.store.fence))
        return FakeTerm(self, self.store.fence)

    async def _reach(self) -> None:
        await trio.lowlevel.checkpoint()
        if not self._in_reach:
            raise CatalogUnavailable("the test has cut the connection")


class FakeNodeCatalog:
    """The node's side: see `node.catalog.interface`."""

    def __init__(self, store: CatalogStore, name: str, interval_s: float) -> None:
        self.store = store
        self.failures = 0
        self._name = name
        self._interval_s = interval_s
        self._changed = trio.Event()

    async def run(self, report: Callable[[], NodeReport], obey: Callable[[Order], None]) -> None:
        obeyed = None
        while True:
            if self.store.up:
                self.store.report(report())
            else:
                self.failures += 1
            with trio.move_on_after(self._interval_s):
                while not self._changed.is_set():
                    order = self.store.orders.get(self._name)
                    if order is not None and order != obeyed and self.store.up:
                        obeyed = order
                        obey(_copy(order))
                    with trio.move_on_after(_CHECK_S):
                        await self._changed.wait()
            self._changed = trio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def leave(self) -> None:
        await trio.lowlevel.checkpoint()
        self.store.gone(self._name)


class FakeTerm:
    def __init__(self, catalog: FakeCatalog, fence: int) -> None:
        self._catalog = catalog
        self.fence = fence

    async def renew(self) -> bool:
        await self._catalog._reach()
        store = self._catalog.store
        store.expire()
        if store.leader is None or store.leader.fence != self.fence:
            return False
        store.leads_until = trio.current_time() + store.leader_ttl_s
        store.leader.renewals += 1
        return True

    async def resign(self) -> None:
        await self._catalog._reach()
        store = self._catalog.store
        if store.leader is not None and store.leader.fence == self.fence:
            store.set_leader(None)
