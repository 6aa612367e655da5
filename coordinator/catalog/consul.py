"""The catalog in Consul: nodes are services, and orders, plans and the leader are keys.

    service SERVICE           one per node, its report as the meta; healthy while it reports
    PREFIX/orders/NAME        and plans/ID, leader, as in protos/catalog.proto; a session locks `leader`

The leader's key is asked for twice a second: the answer also says that Consul is in reach.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import structlog
import trio

from coordinator.catalog.access import ConsulAccess
from coordinator.catalog.board import Board
from coordinator.catalog.consul_line import Line, in_transaction
from coordinator.catalog.consul_term import ConsulTerm, Session, take
from coordinator.catalog.interface import CatalogUnavailable, Event
from protos.catalog_format import (
    LEADER,
    PLANS,
    Undecodable,
    decode,
    encode,
    from_meta,
    order_key,
    plan_key,
    unsegment,
)
from protos.catalog_pb2 import Leader, NodeReport, Order, Plan

logger = structlog.get_logger(__name__)

# A blocking query is answered at the next change: with many nodes, that is many times a second.
_QUERY_INTERVAL_S = 0.5
_QUERY_WAIT = "10s"
_RETRY_S = 0.5
_SESSION_SERVICE = "leader"


class ConsulCatalog:
    """See `coordinator.catalog.interface.Catalog`.

    Args:
        access: the agent.
        ttl_s: how long a silent node is taken for alive, seconds.
        leader_ttl_s: how long a silent leader leads.
        wall: Unix seconds.
    """

    def __init__(
        self,
        access: ConsulAccess,
        *,
        ttl_s: float,
        leader_ttl_s: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._ttl_s = ttl_s
        self._leader_ttl_s = leader_ttl_s
        self._wall = wall
        self._board = Board(ttl_s)
        self._line, self._node_line, self._plan_line, self._leader_line = (
            Line(access)
            for _ in range(4)  # one for each task
        )
        self._answered_at = float("-inf")
        self._failures: dict[str, str] = {}
        self._read: set[str] = set()
        # Of each service and plan, the index it had when it was read, and what it is called.
        self._node_indexes: dict[tuple[str, str], tuple[int, str]] = {}
        self._plan_indexes: dict[str, int] = {}

    @property
    def contact_s(self) -> float:
        """See `Catalog.contact_s`."""
        return trio.current_time() - self._answered_at

    @property
    def failure(self) -> str:
        """See `Catalog.failure`."""
        return next(iter(self._failures.values()), "")

    def watch(self) -> AsyncGenerator[Event, None]:
        """See `Catalog.watch`."""
        return self._board.watch()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Catalog.run`."""
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._board.expire_nodes, self._in_contact)
            nursery.start_soon(self._follow, "nodes", self._query_nodes)
            nursery.start_soon(self._follow, "plans", self._query_plans)
            nursery.start_soon(self._follow, "leader", self._query_leader)

    async def put_order(self, order: Order) -> None:
        """See `Catalog.put_order`."""
        await self._line.call(lambda client: client.kv.put(self._key(order_key(order.node)), encode(order)))

    async def clear_order(self, node: str) -> None:
        """See `Catalog.clear_order`."""
        await self._line.call(lambda client: client.kv.delete(self._key(order_key(node))))

    async def put_plan(self, plan: Plan, version: int) -> int:
        """See `Catalog.put_plan`."""
        key, value = self._key(plan_key(plan.id)), in_transaction(encode(plan))
        # Index 0: only if there is none.
        (left,) = await self._line.transaction({"Verb": "cas", "Key": key, "Value": value, "Index": version})
        return int(left["ModifyIndex"])

    async def remove_plan(self, plan_id: str) -> None:
        """See `Catalog.remove_plan`."""
        await self._line.call(lambda client: client.kv.delete(self._key(plan_key(plan_id))))

    async def lead(self, name: str, url: str) -> ConsulTerm | None:
        """See `Catalog.lead`."""
        if "leader" not in self._read:
            raise CatalogUnavailable("the leader is not known yet")
        if self._board.leader is not None:
            return None
        key = self._key(LEADER)
        _, found = await self._line.call(lambda client: client.kv.get(key, consistency="consistent"))
        if found is not None and found.get("Session"):
            return None
        fence = self._board.fence_above(_leader_of(found).fence, self._wall())
        leader = Leader(name=name, url=url, fence=fence, renewals=1)
        session = Session(self._line, f"{self._access.service}-{_SESSION_SERVICE}", self._leader_ttl_s)
        leads = False
        try:
            await session.open()
            leads = await take(self._line, key, leader, found["ModifyIndex"] if found else 0, session)
        finally:
            if not leads:
                await session.close()
        return ConsulTerm(self._line, key, leader, session) if leads else None

    def _key(self, key: str) -> str:
        return f"{self._access.prefix}/{key}"

    def _in_contact(self) -> bool:
        return self.contact_s < self._ttl_s / 2

    async def _follow(self, what: str, query: Callable[[int], Awaitable[int]]) -> None:
        """Ask for one thing for ever, each time for what is newer than the index of the answer before."""
        index = 0
        while True:
            asked_at = trio.current_time()
            try:
                answered = await query(index)
            except CatalogUnavailable as error:
                if self._failures.get(what) != str(error):
                    self._failures[what] = str(error)
                    logger.warning("catalog is out of reach", reading=what, reason=str(error))
                self._read.discard(what)
                index = 0
                await trio.sleep(_RETRY_S)
                continue
            self._failures.pop(what, None)
            # An index that goes back is of a catalog that lost its data: everything is read again.
            index = answered if answered >= index else 0
            if what not in self._read:
                self._read.add(what)
                if len(self._read) == 3:
                    self._board.caught_up()
            if what == "leader" and not self._failures:
                self._answered_at = asked_at
            await trio.sleep_until(asked_at + _QUERY_INTERVAL_S)

    async def _query_nodes(self, index: int) -> int:
        answered, found = await self._node_line.call(
            lambda client: client.health.service(
                self._access.service, index=index or None, wait=_QUERY_WAIT, passing=True
            )
        )
        lost = not index or int(answered) < index
        before, self._node_indexes = self._node_indexes, {}
        for entry in found:
            service = entry["Service"]
            key, modified = (entry["Node"]["Node"], service["ID"]), service["ModifyIndex"]
            if not lost and before.get(key, (0, ""))[0] == modified:
                self._node_indexes[key] = before[key]
            elif (report := self._report_of(service)) is not None:
                self._node_indexes[key] = (modified, report.name)
                self._board.node_seen(report, watched=True)
        names = {name for _, name in self._node_indexes.values()}
        for _, name in before.values():
            if name not in names:
                (self._board.node_missing if lost else self._board.node_gone)(name)
        return int(answered)

    def _report_of(self, service: dict[str, Any]) -> NodeReport | None:
        try:
            return from_meta(service["Meta"] or {})
        except Undecodable as error:
            logger.warning("catalog entry cannot be read", service=service["ID"], reason=str(error))
            return None

    async def _query_plans(self, index: int) -> int:
        prefix = self._key(PLANS)
        answered, found = await self._plan_line.call(
            lambda client: client.kv.get(prefix, recurse=True, index=index or None, wait=_QUERY_WAIT)
        )
        before, self._plan_indexes = self._plan_indexes, {}
        for entry in found or ():
            try:
                plan_id = unsegment(entry["Key"].removeprefix(prefix))
                self._plan_indexes[plan_id] = modified = entry["ModifyIndex"]
                if before.get(plan_id) != modified:
                    self._board.plan_seen(decode(Plan, entry["Value"] or b""), modified)
            except Undecodable as error:
                logger.warning("catalog entry cannot be read", key=entry["Key"], reason=str(error))
        for plan_id in before.keys() - self._plan_indexes.keys():
            self._board.plan_gone(plan_id)
        return int(answered)

    async def _query_leader(self, _index: int) -> int:
        _, found = await self._leader_line.call(lambda client: client.kv.get(self._key(LEADER)))
        leader = _leader_of(found)
        self._board.leader_seen(leader if leader.name and found.get("Session") else None)
        return 0


def _leader_of(found: dict[str, Any] | None) -> Leader:
    """What a key says, which may be nothing."""
    try:
        return decode(Leader, (found or {}).get("Value") or b"{}")
    except Undecodable as error:
        logger.warning("catalog entry cannot be read", key=LEADER, reason=str(error))
        return Leader()
