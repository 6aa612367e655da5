"""The two catalogs, as real servers with what happens to them. No test lives here.

A place makes both sides of its catalog: what a node uses, and what a coordinator uses.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import trio
from msgspec import convert, structs, to_builtins

from coordinator.catalog.access import ConsulAccess, NatsAccess
from coordinator.catalog.consul import ConsulCatalog as ConsulView
from coordinator.catalog.interface import Catalog as View
from coordinator.catalog.nats_kv import NatsCatalog as NatsView
from node.broker.nats.feed import Feed
from node.catalog.consul import ConsulCatalog
from node.catalog.interface import Catalog
from node.catalog.nats import NatsCatalog
from node.config.coordination import CatalogOptions, ConsulOptions
from node.config.durations import Duration
from node.config.options import NatsOptions
from tests.consul_server import ConsulServer
from tests.nats_server import NatsServer
from tests.patience import PATIENCE_S

INTERVAL_S = 0.4
# Longer than a busy machine stands still: nobody who lives is to be taken for gone.
TTL_S = 4.0
LEADER_TTL_S = 4.0


def catalog_options(interval_s: float = INTERVAL_S, ttl_s: float = TTL_S) -> CatalogOptions:
    """Quick ones, unless told."""
    return CatalogOptions(report_interval_s=Duration(interval_s), ttl_s=Duration(ttl_s))


class Place(Protocol):
    """A catalog's servers.

    Attributes:
        server: freeze it, thaw it, kill it, start it.
    """

    server: NatsServer | ConsulServer

    def node(self, name: str) -> AbstractAsyncContextManager[Catalog]:
        """The node's side, with what it needs running."""

    def view(self, name: str = "c1") -> View:
        """The coordinator's side, to be run."""

    async def empty(self) -> None:
        """Take away everything that is stored."""


class OnNats:
    """NATS with JetStream.

    Args:
        server: the one that things happen to.
        options: of the nodes.
        replicas: copies of the buckets.
        url: of all servers, if there are several.
    """

    def __init__(
        self, server: NatsServer, *, options: CatalogOptions | None = None, replicas: int = 1, url: str = ""
    ) -> None:
        self.server = server
        self._catalog = options or catalog_options()
        self._options = NatsOptions(
            url=url or server.url,
            reconnect_delay_max_s=Duration(0.2),
            request_deadline_s=Duration(3),
            stream_replicas=replicas,
        )

    @asynccontextmanager
    async def node(self, name: str) -> AsyncIterator[Catalog]:
        feed = Feed(self._options, name=name, on_broken=lambda: None, on_restored=lambda: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(feed.run)
            await feed.wait_connected(PATIENCE_S)
            yield NatsCatalog(feed, self._options, self._catalog, name=name)
            nursery.cancel_scope.cancel()

    def view(self, name: str = "c1") -> View:
        access = convert(to_builtins(self._options, enc_hook=float), NatsAccess)
        return NatsView(access, name=name, ttl_s=TTL_S, leader_ttl_s=LEADER_TTL_S)

    async def empty(self) -> None:
        async with running_feed(self.server.url) as feed:
            for bucket in ("broadcast_nodes", "broadcast_plans"):
                await feed.request(f"$JS.API.STREAM.DELETE.KV_{bucket}", b"", deadline_s=PATIENCE_S)


@asynccontextmanager
async def running_feed(url: str) -> AsyncIterator[Feed]:
    """A connection of the test's own."""
    feed = Feed(NatsOptions(url=url), name="test", on_broken=lambda: None, on_restored=lambda: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(feed.run)
        await feed.wait_connected(PATIENCE_S)
        yield feed
        nursery.cancel_scope.cancel()


class OnConsul:
    """Consul, one agent.

    Args:
        server: the agent.
        token: for its ACL.
        ca_file: for its certificate.
        options: of the nodes.
    """

    def __init__(
        self,
        server: ConsulServer,
        *,
        token: str = "",
        ca_file: str = "",
        options: CatalogOptions | None = None,
    ) -> None:
        self.server = server
        self._catalog = options or catalog_options()
        self._consul = ConsulOptions(url=server.url, token=token, ca_file=ca_file)

    @asynccontextmanager
    async def node(self, name: str) -> AsyncIterator[Catalog]:
        yield ConsulCatalog(structs.replace(self._catalog, consul=self._consul), name=name)

    def view(self, name: str = "c1") -> View:
        access = convert(to_builtins(self._consul), ConsulAccess)
        return ConsulView(access, ttl_s=TTL_S, leader_ttl_s=LEADER_TTL_S)

    async def empty(self) -> None:
        self.server.empty()
