"""A catalog in memory: the coordinators' side in full, and what nodes write as plain methods of its store."""

import math
from collections.abc import AsyncIterator
from contextlib import aclosing
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

_EXPIRY_CHECK_S = 0.1


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
    """

    leader_ttl_s: float = 5.0
    ttl_s: float = math.inf
    nodes: dict[str, NodeReport] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    plans: dict[str, tuple[Plan, int]] = field(default_factory=dict)
    written: list[Order] = field(default_factory=list)
    leader: Leader | None = None
    fence: int = 0
    leads_until: float = -math.inf
    revision: int = 0
    _changed: dict[str, tuple[int, Event]] = field(default_factory=dict)
    _silent_at: dict[str, float] = field(default_factory=dict)
    _news: trio.Event = field(default_factory=trio.Event)

    def report(self, report: NodeReport) -> None:
        """A node reports."""
        self.nodes[report.name] = _copy(report)
        self._silent_at[report.name] = trio.current_time() + self.ttl_s
        self._tell(f"nodes/{report.name}", NodeSeen(_copy(report)))

    def gone(self, name: str) -> None:
        """A node takes its entry out."""
        if self.nodes.pop(name, None) is not None:
            self._tell(f"nodes/{name}", NodeGone(name))

    def expire(self) -> None:
        """Silence has its consequences."""
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
        self._news.set()
        self._news = trio.Event()

    async def watch(self) -> AsyncIterator[list[tuple[int, Event]]]:
        """What changed since the last step, oldest first; the first step is everything that is there."""
        seen = 0
        while True:
            entries = sorted(self._changed.values(), key=lambda entry: entry[0])
            if not seen:
                entries = [entry for entry in entries if not isinstance(entry[1], NodeGone | PlanGone)]
            new = [entry for entry in entries if entry[0] > seen]
            first, seen = not seen, max([seen, 1, *(revision for revision, _ in new)])
            news = self._news
            if new or first:
                yield new
            if news is self._news:
                await news.wait()


class FakeCatalog:
    """One coordinator's connection to the store.

    Attributes:
        reachable: False cuts the connection.
    """

    def __init__(self, store: CatalogStore) -> None:
        self.store = store
        self._cut_at: float | None = None
        self._mended = trio.Event()

    @property
    def reachable(self) -> bool:
        return self._cut_at is None

    @reachable.setter
    def reachable(self, value: bool) -> None:
        self._cut_at = None if value else trio.current_time()
        self._mended.set()
        self._mended = trio.Event()

    @property
    def contact_s(self) -> float:
        return 0.0 if self._cut_at is None else trio.current_time() - self._cut_at

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            await trio.sleep(_EXPIRY_CHECK_S)
            self.store.expire()

    async def watch(self) -> AsyncIterator[Event]:
        caught_up = False
        async with aclosing(self.store.watch()) as changes:
            async for entries in changes:
                while not self.reachable:
                    await self._mended.wait()
                for _, event in entries:
                    yield event
                if not caught_up:
                    caught_up = True
                    if self.store.leader is None:
                        yield LeaderSeen(None)
                    yield CaughtUp()

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
        if not self.reachable:
            raise CatalogUnavailable("the test has cut the connection")


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
