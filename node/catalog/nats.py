"""The node's side of the catalog on NATS: two key-value buckets, over the connection the node has anyway.

Reports are written to the bucket PREFIX_nodes, whose values vanish when they are not renewed; orders are
read from PREFIX_plans, which coordinators make.
"""

from collections.abc import Callable

import structlog
import trio

from node.broker.interface import BrokerError, BrokerUnavailable
from node.broker.nats.feed import Feed
from node.broker.nats.key_value import Bucket
from node.catalog.reporting import Pace
from node.config.coordination import CatalogOptions
from node.config.options import NatsOptions
from protos.catalog_format import Undecodable, decode, encode, order_key, segment
from protos.catalog_pb2 import NodeReport, Order

logger = structlog.get_logger(__name__)

_LEAVE_DEADLINE_S = 1.0


class NatsCatalog:
    """See `node.catalog.interface.Catalog`.

    Args:
        feed: the node's connection; runs elsewhere.
        nats: `broker.nats`.
        options: `catalog`.
        name: of this node.
    """

    def __init__(self, feed: Feed, nats: NatsOptions, options: CatalogOptions, *, name: str) -> None:
        self._feed = feed
        self._options = options
        self._replicas = nats.stream_replicas
        self._name = name
        self._nodes = Bucket(feed, f"{nats.prefix}_nodes")
        self._plans = Bucket(feed, f"{nats.prefix}_plans")
        self._pace = Pace(options.report_interval_s)
        self._deadline_s = min(float(nats.request_deadline_s), float(options.ttl_s) / 2)
        self._failure = ""
        self._order_known = False
        self._connections = -1
        self.failures = 0

    def changed(self) -> None:
        """See `Catalog.changed`."""
        self._pace.changed()

    async def run(self, report: Callable[[], NodeReport], obey: Callable[[Order], None]) -> None:
        """See `Catalog.run`."""
        subscription = self._plans.watch(order_key(self._name), lambda value: self._ordered(value, obey))
        try:
            while True:
                began_at = trio.current_time()
                await self._speak_and_listen(report, obey)
                await self._pace.next(began_at)
        finally:
            self._feed.unsubscribe(subscription)

    async def leave(self) -> None:
        """See `Catalog.leave`."""
        try:
            await self._nodes.delete(segment(self._name), deadline_s=_LEAVE_DEADLINE_S)
        except BrokerError as error:
            self.failures += 1
            logger.warning("the catalog does not hear the goodbye", reason=str(error))

    async def _speak_and_listen(
        self, report: Callable[[], NodeReport], obey: Callable[[Order], None]
    ) -> None:
        try:
            await self._put(report)
            if self._feed.reconnects != self._connections or not self._order_known:
                # What was ordered while nobody listened: before the start, or before the reconnect.
                self._connections = self._feed.reconnects
                await self._read_order(obey)
        except BrokerError as error:
            self.failures += 1
            if str(error) != self._failure:
                self._failure = str(error)
                # A feed without its connection says so itself; at every start there is a moment of that.
                level = logger.warning if self._feed.connected else logger.debug
                level("the catalog cannot be reached", reason=self._failure)
        else:
            self._failure = ""

    async def _put(self, report: Callable[[], NodeReport]) -> None:
        key = segment(self._name)
        try:
            await self._nodes.put(key, encode(report()), deadline_s=self._deadline_s)
        except BrokerUnavailable:
            if not self._feed.connected or await self._nodes.exists(deadline_s=self._deadline_s):
                raise
            made = await self._nodes.create(
                max_age_s=self._options.ttl_s, replicas=self._replicas, deadline_s=self._deadline_s
            )
            logger.info("catalog bucket was missing", created=made)
            await self._nodes.put(key, encode(report()), deadline_s=self._deadline_s)

    async def _read_order(self, obey: Callable[[Order], None]) -> None:
        self._order_known = False
        try:
            found = await self._plans.get(order_key(self._name), deadline_s=self._deadline_s)
        except BrokerUnavailable:
            if not self._feed.connected or await self._plans.exists(deadline_s=self._deadline_s):
                raise
            found = None  # no coordinator has ever been there
        self._order_known = True
        if found is not None:
            self._ordered(found[0], obey)

    def _ordered(self, value: bytes, obey: Callable[[Order], None]) -> None:
        if not value:
            return
        try:
            order = decode(Order, value)
        except Undecodable as error:
            self.failures += 1
            logger.warning("an order cannot be read", reason=str(error))
            return
        obey(order)
