"""The catalog's promises on Consul; with its ACL and under TLS those that show that both are used."""

from collections.abc import Iterator

import pytest
import trio
import trustme

from coordinator.catalog.interface import CatalogUnavailable
from protos.catalog_pb2 import Order, Plan
from tests.consul_server import TOKEN, ConsulServer
from tests.contracts.catalog.contract import CatalogContract
from tests.contracts.catalog.people import Watcher, led, registered, until, watching
from tests.contracts.catalog.places import LEADER_TTL_S, OnConsul, Place


class TestConsul(CatalogContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with ConsulServer() as server:
            yield OnConsul(server)


@pytest.fixture(scope="module")
def guarded() -> Iterator[ConsulServer]:
    """An agent that wants a token and speaks TLS."""
    with ConsulServer(tls=trustme.CA(), acl=True) as server:
        yield server


async def test_token_and_certificate(guarded: ConsulServer) -> None:
    """Everything is said with the token, and under a certificate of the authority that was given."""
    place = OnConsul(guarded, token=TOKEN, ca_file=str(guarded.directory / "ca.pem"))
    async with watching(place) as watcher, registered(place, "n1") as (node, task):
        await watcher.until(lambda: "n1" in watcher.nodes)
        await watcher.catalog.put_order(Order(node="n1", number=1))
        await until(lambda: node.orders)
        version = await watcher.catalog.put_plan(Plan(id="p1"), 0)
        await watcher.catalog.put_plan(Plan(id="p1"), version)
        term = await led(watcher, "c1")
        assert await term.renew()
        await term.resign()
        await watcher.catalog.remove_plan("p1")
        await watcher.catalog.clear_order("n1")
        await task.leave()
        await watcher.until(lambda: not watcher.nodes and not watcher.plans)


@pytest.mark.parametrize(
    ("token", "authority"), [("wrong", True), (TOKEN, False)], ids=["token", "authority"]
)
async def test_who_is_not_let_in_says_so(guarded: ConsulServer, token: str, authority: bool) -> None:
    """A wrong token, or a certificate of nobody we know, is no contact and no empty catalog."""
    place = OnConsul(guarded, token=token, ca_file=str(guarded.directory / "ca.pem") if authority else "")
    watcher = Watcher(place.view())
    async with registered(place, "n1") as (_, task), trio.open_nursery() as nursery:
        await nursery.start(watcher.catalog.run)
        nursery.start_soon(watcher.watch)
        await until(lambda: task.catalog.failures)  # type: ignore[attr-defined]
        with pytest.raises(CatalogUnavailable) as caught:
            await watcher.catalog.put_plan(Plan(id="p1"), 0)
        assert token not in str(caught.value)
        await trio.sleep(1)
        assert not watcher.caught_up
        assert watcher.catalog.contact_s > LEADER_TTL_S
        nursery.cancel_scope.cancel()
