"""The catalog on NATS: two key-value buckets, which `nats kv` can read.

    PREFIX_nodes    the nodes' reports, in memory; what is not renewed for `ttl_s` vanishes
    PREFIX_plans    orders, plans and the leader, on disk

Buckets are made by whoever comes first, and again when they are gone. Twice a second it is asked what is new
in them; that there is an answer says that the catalog is in reach.
"""

import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import structlog
import trio
import trio_asyncio
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import APIError, KeyWrongLastSequenceError

from coordinator.catalog.access import NatsAccess
from coordinator.catalog.board import Board
from coordinator.catalog.interface import CatalogUnavailable, Conflict, Event
from coordinator.catalog.nats_bucket import Bucket, Entry, Renewed, open_bucket, unavailable
from coordinator.catalog.nats_link import Link, connect, open_loop
from coordinator.catalog.nats_term import LeaderKey, NatsTerm
from protos.catalog_format import (
    LEADER,
    PLANS,
    Undecodable,
    decode,
    encode,
    order_key,
    plan_key,
    unsegment,
)
from protos.catalog_pb2 import Leader, NodeReport, Order, Plan

logger = structlog.get_logger(__name__)

_POLL_S = 0.5
_POLLS_PER_TTL = 5
_RETRY_S = 0.5
# So long a deleted key's marker is kept, for those that were away when it was deleted.
_MARKER_TTL_S = 3600.0


class NatsCatalog:
    """See `coordinator.catalog.interface.Catalog`.

    Args:
        access: the servers.
        name: of this coordinator.
        ttl_s: how long a silent node is taken for alive, seconds.
        leader_ttl_s: how long a silent leader leads.
        wall: Unix seconds.
    """

    def __init__(
        self,
        access: NatsAccess,
        *,
        name: str,
        ttl_s: float,
        leader_ttl_s: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._name = name
        self._ttl_s = ttl_s
        self._wall = wall
        self._board = Board(ttl_s)
        self._leader = LeaderKey(leader_ttl_s)
        self._poll_s = min(_POLL_S, ttl_s / _POLLS_PER_TTL, leader_ttl_s / _POLLS_PER_TTL)
        self._answered_at = float("-inf")
        self._link: Link | None = None
        self._plans: Bucket | None = None
        self._failure = ""

    @property
    def contact_s(self) -> float:
        """See `Catalog.contact_s`."""
        return trio.current_time() - self._answered_at

    @property
    def failure(self) -> str:
        """See `Catalog.failure`."""
        return self._failure

    def watch(self) -> AsyncGenerator[Event, None]:
        """See `Catalog.watch`."""
        return self._board.watch()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Catalog.run`."""
        task_status.started()
        async with open_loop() as loop, trio.open_nursery() as nursery:
            nursery.start_soon(self._board.expire_nodes, self._in_contact)
            while True:
                try:
                    await self._connected(loop)
                except (CatalogUnavailable, APIError) as error:
                    self._failed(str(error))
                await trio.sleep(_RETRY_S)

    async def put_order(self, order: Order) -> None:
        """See `Catalog.put_order`."""
        link, plans = self._standing()
        try:
            await link.ask(plans.values.put(order_key(order.node), encode(order)))
        except APIError as error:
            unavailable(error)

    async def clear_order(self, node: str) -> None:
        """See `Catalog.clear_order`."""
        await self._remove(order_key(node))

    async def put_plan(self, plan: Plan, version: int) -> int:
        """See `Catalog.put_plan`."""
        link, plans = self._standing()
        key, value = plan_key(plan.id), encode(plan)
        write = plans.values.update(key, value, last=version) if version else plans.values.create(key, value)
        return await self._compared(link, write, f"plan {plan.id}")

    async def remove_plan(self, plan_id: str) -> None:
        """See `Catalog.remove_plan`."""
        await self._remove(plan_key(plan_id))

    async def lead(self, name: str, url: str) -> NatsTerm | None:
        """See `Catalog.lead`: a leader that did not renew for `leader_ttl_s` of our own clock is replaced."""
        self._standing()
        if self._leader.leads(trio.current_time()):
            return None
        fence = self._board.fence_above(self._leader.value.fence, self._wall())
        leader = Leader(name=name, url=url, fence=fence, renewals=1)
        try:
            revision = await self.put_leader(leader, self._leader.revision)
        except Conflict:
            return None
        return NatsTerm(self, leader, revision)

    async def put_leader(self, leader: Leader, revision: int) -> int:
        """Write who leads; returns the revision.

        Args:
            leader: the new value.
            revision: that the key must have now, 0 if it must not exist.

        Raises:
            Conflict: it has another.
        """
        link, plans = self._standing()
        return await self._compared(link, plans.values.update(LEADER, encode(leader), last=revision), LEADER)

    async def read_leader(self) -> tuple[Leader, int]:
        """Who leads, as the bucket's stream itself says, and the revision."""
        _, plans = self._standing()
        found = await plans.last(LEADER)
        return (Leader(), 0) if found is None else (_leader_of(found), found.revision)

    async def _compared(self, link: Link, write: Any, what: str) -> int:
        try:
            return int(await link.ask(write))
        except KeyWrongLastSequenceError as error:
            raise Conflict(f"{what} was changed by somebody else") from error
        except APIError as error:
            unavailable(error)

    async def _remove(self, key: str) -> None:
        link, plans = self._standing()
        try:
            await link.ask(plans.values.purge(key, msg_ttl=_MARKER_TTL_S))
        except APIError as error:
            unavailable(error)

    def _standing(self) -> tuple[Link, Bucket]:
        if self._link is None or self._plans is None or self._link.closed:
            raise CatalogUnavailable(f"not connected to NATS: {self._failure or 'connecting'}")
        return self._link, self._plans

    def _failed(self, reason: str) -> None:
        if reason != self._failure:
            self._failure = reason
            logger.warning("catalog is out of reach", reason=reason)

    def _in_contact(self) -> bool:
        return self.contact_s < self._ttl_s / 2

    async def _connected(self, loop: trio_asyncio.TrioEventLoop) -> None:
        """One connection, from beginning to end."""
        link = await connect(loop, self._access, self._name)
        try:
            while True:
                try:
                    await self._follow(link)
                except Renewed as error:
                    logger.info("catalog is read again", reason=str(error))
        finally:
            self._link = self._plans = None
            await link.close()

    async def _follow(self, link: Link) -> None:
        """Read both buckets from the beginning, and then what is new in them."""
        nodes, plans = await self._open(link)
        unseen = {plan_key(plan_id): plan_id for plan_id in self._board.plans}
        self._leader.restart(trio.current_time())
        complete = False
        while True:
            asked_at = trio.current_time()
            try:
                for entry in await nodes.news():
                    self._take(entry, self._node_entry)
                for entry in await plans.news():
                    unseen.pop(entry.key, None)
                    self._take(entry, self._plan_entry)
            except CatalogUnavailable as error:
                self._failed(str(error))
                if link.closed:
                    raise
            else:
                self._failure, self._answered_at = "", asked_at
                self._show_leader()
                if plans.complete and not complete:
                    complete = True
                    for plan_id in unseen.values():
                        self._board.plan_gone(plan_id)
                    self._link, self._plans = link, plans
                    self._board.caught_up()
            await trio.sleep_until(asked_at + self._poll_s)

    async def _open(self, link: Link) -> tuple[Bucket, Bucket]:
        prefix, replicas = self._access.prefix, self._access.stream_replicas
        memory = KeyValueConfig(
            bucket=f"{prefix}_nodes",
            storage=StorageType.MEMORY,
            ttl=self._ttl_s,
            replicas=replicas,
            direct=True,
        )
        disk = KeyValueConfig(bucket=f"{prefix}_plans", replicas=replicas, direct=True)
        return await open_bucket(link, memory), await open_bucket(link, disk)

    def _take(self, entry: Entry, take: Callable[[Entry], None]) -> None:
        try:
            take(entry)
        except Undecodable as error:
            logger.warning("catalog entry cannot be read", key=entry.key, reason=str(error))

    def _node_entry(self, entry: Entry) -> None:
        name = unsegment(entry.key)
        if entry.gone:
            self._board.node_gone(name)
            return
        report = decode(NodeReport, entry.value)
        if report.name != name:
            raise Undecodable(f"the report of {report.name!r}")
        self._board.node_seen(report)

    def _plan_entry(self, entry: Entry) -> None:
        if entry.key == LEADER:
            self._leader.seen(_leader_of(entry), entry.revision, trio.current_time())
        elif entry.key.startswith(PLANS):
            plan_id = unsegment(entry.key.removeprefix(PLANS))
            if entry.gone:
                self._board.plan_gone(plan_id)
            else:
                self._board.plan_seen(decode(Plan, entry.value), entry.revision)

    def _show_leader(self) -> None:
        leads = self._leader.leads(trio.current_time())
        self._board.leader_seen(self._leader.value if leads else None)


def _leader_of(entry: Entry) -> Leader:
    """What a key says, which may be nothing."""
    try:
        return Leader() if entry.gone else decode(Leader, entry.value)
    except Undecodable as error:
        logger.warning("catalog entry cannot be read", key=entry.key, reason=str(error))
        return Leader()
