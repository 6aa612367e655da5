"""The catalog's promises on NATS."""

from collections.abc import Iterator

import pytest

from protos.catalog_pb2 import Order, Plan
from tests.contracts.catalog.contract import CatalogContract
from tests.contracts.catalog.people import led, registered, until, watching
from tests.contracts.catalog.places import OnNats, Place
from tests.nats_server import NatsCluster, NatsServer


class TestNats(CatalogContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with NatsServer() as server:
            yield OnNats(server)


@pytest.mark.slow
async def test_a_server_of_three_dies() -> None:
    """With three copies a server's death costs an election's time: nobody is lost, plans and term stay."""
    with NatsCluster(3) as cluster:
        place = OnNats(cluster.servers[0], replicas=3, url=cluster.url)
        async with watching(place) as watcher, registered(place, "n1") as (node, _):
            await watcher.until(lambda: "n1" in watcher.nodes)
            term = await led(watcher, "c1")
            version = await watcher.catalog.put_plan(Plan(id="p1"), 0)
            for server in cluster.servers[:2]:
                server.kill()
                number = watcher.nodes["n1"].number
                await watcher.until(lambda number=number: watcher.nodes["n1"].number > number + 2)
                await until(lambda: watcher.catalog.contact_s < 1)
                assert await term.renew()
                version = await watcher.catalog.put_plan(Plan(id="p1", note=server.name), version)
                await watcher.catalog.put_order(Order(node="n1", number=version))
                await until(lambda version=version: node.orders and node.orders[-1].number == version)
                server.start()
                cluster.wait_healthy()
            assert set(watcher.plans) == {"p1"}
            assert all(getattr(event, "name", "") != "n1" for event in watcher.events)
