"""A coordinator that leads is cut off from the catalog in the middle of a drain."""

import re
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from coordinator.catalog.access import ConsulAccess, NatsAccess
from coordinator.catalog.consul import ConsulCatalog
from coordinator.catalog.interface import Catalog
from coordinator.catalog.nats_kv import NatsCatalog
from protos.catalog_pb2 import Order
from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.coordinator.clients import Clients
from tests.integration.coordinator.load import (
    CHANNELS,
    Publisher,
    all_caught_up,
    assert_nothing_lost,
    in_time,
)
from tests.integration.coordinator.processes import CoordinatorProcess
from tests.integration.proxy import Proxy

LEADER_TTL_S = 2.0
LEADER = ("--set", f"coordinator.leader_ttl_s={LEADER_TTL_S}", "--set")
# A share so small that a drain takes a while; who takes it up need not be as slow.
SLOW, FASTER = (*LEADER, "coordinator.connect_share=0.01"), (*LEADER, "coordinator.connect_share=0.04")


@pytest.fixture
def cluster(tmp_path: Path, catalog_options: dict[str, Any]) -> Iterator[Cluster]:
    """Three nodes that take up to a hundred clients per second each."""
    limits = {"connection_rate_limit": 100}
    with Cluster(tmp_path, nodes=3, catalog=catalog_options, client=limits) as cluster:
        yield cluster


@pytest.mark.slow
async def test_a_leader_cut_off_is_replaced_and_its_orders_count_no_more(
    tmp_path: Path, cluster: Cluster, catalog: list[str]
) -> None:
    """It answers 503, another one ends the drain, nodes refuse what it says late, and then it follows."""
    assert cluster.nats is not None
    url = catalog[1] if catalog else cluster.nats.url
    place = SimpleNamespace(port=urlsplit(url).port)
    with Proxy(place) as proxy:
        through = ["--consul", proxy.http] if catalog else []
        nats_url = cluster.nats.url if catalog else proxy.http.replace("http", "nats")
        with CoordinatorProcess(tmp_path, "first", nats_url, *SLOW, *through) as first:
            await in_time(first.leads)
            with CoordinatorProcess(tmp_path, "second", cluster.nats.url, *FASTER, *catalog) as second:
                await in_time(lambda: len(second.serving()) == 3)
                old_fence = int(first.get("/v1/nodes")[1]["leader"]["fence"])
                clients = Clients([CHANNELS[number % 20] for number in range(150)], second.port)
                publisher = Publisher(cluster.nodes[2].port)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(clients.run)
                    await clients.until_settled(60)
                    before = clients.on("node-1")
                    await nursery.start(publisher.run)
                    drain = second.command("drain", "node-1", "--deadline", "50s", "--force", "--json")
                    with drain:
                        await in_time(lambda: 0 < clients.on("node-1") < before)
                        proxy.cut()
                        await in_time(lambda: first.get("/discover")[0] == 503)
                        assert first.post("/v1/drain", {"nodes": ["node-2"]})[0] == 503
                        assert first.post("/v1/undrain", {"node": "node-1"})[0] == 503
                        assert clients.on("node-1") > 0, "the drain was over too soon to show anything"
                        await in_time(second.leads)
                        await in_time(lambda: int(second.nodes()["node-1"]["fence"]) > old_fence)
                        await say_late(catalog, cluster, cluster.nodes[0], second, old_fence)
                        proxy.target = place
                        await in_time(lambda: first.get("/discover")[0] == 200)
                        assert second.leads()
                        assert not first.leads()
                        assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
                    await clients.until_settled(60)
                    publisher.stop()
                    await all_caught_up(clients, publisher)
                    nursery.cancel_scope.cancel()
                assert clients.on("node-1") == 0
                assert second.nodes()["node-1"]["state"] == "LEAVING"
                assert_nothing_lost(clients, publisher)
                assert first.process.poll() is None


async def say_late(
    catalog: list[str], cluster: Cluster, node: NodeProcess, second: CoordinatorProcess, old_fence: int
) -> None:
    """What the old leader might have had on its way: an order to serve again, written only now."""
    assert cluster.nats is not None
    instance = second.nodes()[node.name]["instance"]
    order = Order(
        node=node.name, instance=instance, plan_id="late", action=Order.SERVE, fence=old_fence, number=10**6
    )
    async with opened(catalog, cluster.nats.url) as view:
        with trio.fail_after(60):
            # The new leader writes to the same place: what it overwrites at once is not seen by the node.
            while not await trio.to_thread.run_sync(refused_orders, node):
                await view.put_order(order)
                await trio.sleep(0.2)
    assert second.nodes()[node.name]["state"] == "LEAVING"


@asynccontextmanager
async def opened(catalog: list[str], nats_url: str) -> AsyncIterator[Catalog]:
    """The catalog as a coordinator writes to it."""
    times: dict[str, Any] = {"ttl_s": 5.0, "leader_ttl_s": LEADER_TTL_S}
    view: Catalog = (
        ConsulCatalog(ConsulAccess(url=catalog[1]), **times)
        if catalog
        else NatsCatalog(NatsAccess(url=nats_url), name="late", **times)
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(view.run)
        with trio.fail_after(60):
            while view.contact_s > 1:  # noqa: ASYNC110 - nobody sets an event
                await trio.sleep(0.1)
        yield view
        nursery.cancel_scope.cancel()


def refused_orders(node: NodeProcess) -> int:
    """How many orders a node did not obey."""
    with urllib.request.urlopen(f"{node.http}/metrics", timeout=60) as answer:
        found = re.search(
            r"^broadcast_orders_refused_total(?:\{[^}]*\})? (\S+)$", answer.read().decode(), re.MULTILINE
        )
    assert found
    return int(float(found[1]))
