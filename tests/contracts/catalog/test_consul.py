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


RULES = {
    'service "broadcast-node"': 'service "broadcast-node" { policy = "read" }',
    'node_prefix ""': 'node_prefix "" { policy = "read" }',
    'key_prefix "broadcast/plans/"': 'key_prefix "broadcast/plans/" { policy = "read" }',
}
LEADER_RULE = 'key "broadcast/leader" { policy = "read" }'


@pytest.mark.parametrize("lacking", RULES)
async def test_what_consul_hides_is_no_empty_catalog(guarded: ConsulServer, lacking: str) -> None:
    """Consul leaves out what a token may not read and calls that a success: it is no contact, and is said."""
    authority = str(guarded.directory / "ca.pem")
    rules = [LEADER_RULE, *(rule for name, rule in RULES.items() if name != lacking)]
    token = guarded.token_for(f"without-{list(RULES).index(lacking)}", "\n".join(rules))
    trusted = OnConsul(guarded, token=TOKEN, ca_file=authority)
    async with watching(trusted) as watcher, registered(trusted, "n1") as (_, task):
        await watcher.catalog.put_plan(Plan(id="p1"), 0)
        await watcher.until(lambda: "n1" in watcher.nodes and "p1" in watcher.plans)
        async with trio.open_nursery() as nursery:
            hidden = Watcher(OnConsul(guarded, token=token, ca_file=authority).view())
            await nursery.start(hidden.catalog.run)
            nursery.start_soon(hidden.watch)
            await until(lambda: lacking in hidden.catalog.failure)
            await until(lambda: hidden.catalog.contact_s > LEADER_TTL_S)
            assert not hidden.caught_up
            assert token not in hidden.catalog.failure
            nursery.cancel_scope.cancel()
        await watcher.catalog.remove_plan("p1")
        await task.leave()


async def test_a_rule_that_is_taken_away_ends_the_contact(guarded: ConsulServer) -> None:
    """Also of a catalog that was read: plans that are not shown any more are not gone."""
    authority = str(guarded.directory / "ca.pem")
    token = guarded.token_for("shrinking", "\n".join([LEADER_RULE, *RULES.values()]))
    trusted = OnConsul(guarded, token=TOKEN, ca_file=authority).view()
    version = await trusted.put_plan(Plan(id="p1"), 0)
    async with watching(OnConsul(guarded, token=token, ca_file=authority)) as watcher:
        await watcher.until(lambda: "p1" in watcher.plans)
        (policy,) = [each for each in guarded.get("/v1/acl/policies") if each["Name"] == "shrinking"]
        changed = {"ID": policy["ID"], "Name": "shrinking", "Rules": LEADER_RULE}
        guarded.get(f"/v1/acl/policy/{policy['ID']}", "PUT", changed)
        # A question that waits for news is answered at the next change.
        await trusted.put_plan(Plan(id="p1", note="changed"), version)
        await until(lambda: 'key_prefix "broadcast/plans/"' in watcher.catalog.failure)
        await until(lambda: watcher.catalog.contact_s > LEADER_TTL_S)
        assert "p1" in watcher.plans
    await trusted.remove_plan("p1")
