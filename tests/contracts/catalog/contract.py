"""What every catalog promises, as tests: `class TestX(CatalogContract)` runs them against X.

Both sides meet over real servers. The class that inherits overrides the fixture `place`, and `clock` where
there are none to wait for. Every test takes both: the clock that a test takes is the one it runs on.
"""

from contextlib import AsyncExitStack

import pytest
import trio
from trio.abc import Clock

from coordinator.catalog.interface import CatalogUnavailable, Conflict, NodeGone, NodeSeen
from protos.catalog_pb2 import NodeReport, Order, Plan
from tests.contracts.catalog.people import led, registered, until, watching
from tests.contracts.catalog.places import INTERVAL_S, LEADER_TTL_S, TTL_S, Place
from tests.patience import PATIENCE_S

# At once, where nobody had to wait for a time to live.
VISIBLE_S = min(TTL_S, LEADER_TTL_S) * 0.75
ODD_NAMES = ("node.with.dots", "a b/c>*$", "größe=%2E", "x" * 60)


class CatalogContract:
    """The promises of coordinator/catalog/interface.py and node/catalog/interface.py."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock | None:
        """What the tests run on; None: as real servers, on the machine's."""
        return None

    async def test_reports_are_seen_whole_and_at_once(self, place: Place, clock: Clock | None) -> None:
        """A change of a node's state reaches a coordinator at once, with every field."""
        async with watching(place) as watcher, registered(place, "n1") as (node, task):
            await watcher.until(lambda: "n1" in watcher.nodes, VISIBLE_S)
            first = watcher.nodes["n1"]
            expected = node.report()
            expected.number = first.number
            first.addresses.sort(key=lambda address: address.transport)
            expected.addresses.sort(key=lambda address: address.transport)
            assert first == expected
            node.state = NodeReport.LEAVING
            task.catalog.changed()  # type: ignore[attr-defined]
            await watcher.until(lambda: watcher.nodes["n1"].state == NodeReport.LEAVING, VISIBLE_S)

    async def test_what_changes_is_seen_within_a_second(self, place: Place, clock: Clock | None) -> None:
        """Nodes, plans and orders, most of the time: once or twice the machine may have stood still."""
        took: dict[str, list[float]] = {"node": [], "plan": [], "order": []}
        async with watching(place) as watcher, registered(place, "n1") as (node, task):
            await watcher.until(lambda: "n1" in watcher.nodes)
            for number in range(1, 6):
                node.connections = number
                task.catalog.changed()  # type: ignore[attr-defined]
                seen_s = await watcher.until(lambda n=number: watcher.nodes["n1"].connections == n)
                took["node"].append(seen_s)
                await watcher.catalog.put_plan(Plan(id=f"p{number}"), 0)
                took["plan"].append(await watcher.until(lambda n=number: f"p{n}" in watcher.plans))
                await watcher.catalog.put_order(Order(node="n1", number=number))
                heard_s = await until(lambda n=number: node.orders and node.orders[-1].number == n)
                took["order"].append(heard_s)
        assert all(sorted(seconds)[2] < 1 for seconds in took.values()), took

    async def test_who_comes_later_sees_what_is_there(self, place: Place, clock: Clock | None) -> None:
        """A watch begins with everything there is, then says that this was all."""
        async with registered(place, "n1") as _, registered(place, "n2") as _, watching(place) as first:
            await first.until(lambda: len(first.nodes) == 2)
            await first.catalog.put_plan(Plan(id="p1"), 0)
            async with watching(place, "c2") as second:
                assert set(second.plans) == {"p1"}
                await second.until(lambda: len(second.nodes) == 2)

    async def test_a_node_that_leaves_is_gone_at_once(self, place: Place, clock: Clock | None) -> None:
        """Who says goodbye is out at once, and does not come back by a report that was under way."""
        async with watching(place) as watcher, registered(place, "n1") as (_, task):
            await watcher.until(lambda: "n1" in watcher.nodes)
            await task.leave()
            await watcher.until(lambda: "n1" not in watcher.nodes, VISIBLE_S)
            # Nothing is to come: there is nothing to wait for but the time in which it would.
            await trio.sleep(INTERVAL_S)
            assert "n1" not in watcher.nodes

    async def test_a_silent_node_is_out_and_comes_back(self, place: Place, clock: Clock | None) -> None:
        """A node that hangs is out after its time to live, and in again with its next report."""
        async with watching(place) as watcher, registered(place, "n1") as (_, task):
            await watcher.until(lambda: "n1" in watcher.nodes)
            task.stop()
            await watcher.until(lambda: "n1" not in watcher.nodes)
            task.start()
            await watcher.until(lambda: "n1" in watcher.nodes, VISIBLE_S)
            # That it stays shows only after the time in which it would be out.
            await trio.sleep(TTL_S)
            assert "n1" in watcher.nodes

    async def test_a_restarted_node_is_another_instance(self, place: Place, clock: Clock | None) -> None:
        """The reports of a new process replace those of the old one, though its numbers begin again."""
        async with watching(place) as watcher:
            async with registered(place, "n1", "old"):
                await watcher.until(lambda: "n1" in watcher.nodes and watcher.nodes["n1"].number > 1)
            async with registered(place, "n1", "new"):
                await watcher.until(lambda: watcher.nodes["n1"].instance == "new", VISIBLE_S)

    async def test_names_of_any_kind(self, place: Place, clock: Clock | None) -> None:
        """Names may hold what keys cannot; orders find the node they are for."""
        async with watching(place) as watcher, AsyncExitStack() as stack:
            nodes = [(await stack.enter_async_context(registered(place, name)))[0] for name in ODD_NAMES]
            await watcher.until(lambda: set(watcher.nodes) == set(ODD_NAMES))
            for name in ODD_NAMES:
                await watcher.catalog.put_order(Order(node=name, number=7))
            await until(lambda: all(node.orders for node in nodes))
            assert all([order.node for order in node.orders] == [node.name] for node in nodes)

    async def test_orders_reach_their_node(self, place: Place, clock: Clock | None) -> None:
        """An order is handed over if it was there at the start, and when it changes; clearing it is none."""
        async with watching(place) as watcher:
            await watcher.catalog.put_order(Order(node="n1", number=1, rate=2.5))
            async with registered(place, "n1") as (node, _), registered(place, "n2") as (other, _):
                await until(lambda: node.orders)
                for number in (2, 3):
                    await watcher.catalog.put_order(Order(node="n1", number=number))
                    await until(lambda number=number: node.orders[-1].number == number, VISIBLE_S)
                assert node.orders[0] == Order(node="n1", number=1, rate=2.5)
                count = len(node.orders)
                await watcher.catalog.clear_order("n1")
                await watcher.catalog.clear_order("n1")
                # As above: no order is to come.
                await trio.sleep(2 * INTERVAL_S)
                assert len(node.orders) == count
                assert not other.orders
            async with registered(place, "n1") as (node, _):
                await watcher.until(lambda: "n1" in watcher.nodes)
                await trio.sleep(INTERVAL_S)
                assert not node.orders

    async def test_plans_are_compared_and_set(self, place: Place, clock: Clock | None) -> None:
        """Of two that write from the same version one fails; everybody sees what was written and removed."""
        async with watching(place) as one, watching(place, "c2") as two:
            version = await one.catalog.put_plan(Plan(id="p1", note="a"), 0)
            with pytest.raises(Conflict):
                await two.catalog.put_plan(Plan(id="p1", note="b"), 0)
            await two.until(lambda: "p1" in two.plans, VISIBLE_S)
            assert two.plans["p1"].version == version
            newer = await two.catalog.put_plan(Plan(id="p1", note="c"), version)
            with pytest.raises(Conflict):
                await one.catalog.put_plan(Plan(id="p1", note="d"), version)
            await one.until(lambda: one.plans["p1"].version == newer, VISIBLE_S)
            assert one.plans["p1"].plan.note == "c"
            await one.catalog.remove_plan("p1")
            await one.catalog.remove_plan("p1")
            await two.until(lambda: not two.plans, VISIBLE_S)
            assert await one.catalog.put_plan(Plan(id="p1"), 0)

    async def test_one_leads(self, place: Place, clock: Clock | None) -> None:
        """Of several that try at once one leads, and everybody knows who."""
        async with AsyncExitStack() as stack:
            names = ["c1", "c2", "c3"]
            watchers = [await stack.enter_async_context(watching(place, name)) for name in names]
            terms = {}

            async def stand(number: int) -> None:
                terms[names[number]] = await watchers[number].catalog.lead(names[number], "http://x")

            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(stand, number)
            (leader,) = [name for name, term in terms.items() if term is not None]
            for watcher in watchers:
                await watcher.until(lambda watcher=watcher: watcher.leader == leader, VISIBLE_S)
                assert await watcher.catalog.lead("late", "http://late") is None

    async def test_who_renews_leads_on(self, place: Place, clock: Clock | None) -> None:
        """A leader that renews stays it, for longer than the time to live."""
        async with watching(place) as one, watching(place, "c2") as two:
            term = await led(one, "c1")
            for _ in range(6):
                assert await term.renew()
                await trio.sleep(LEADER_TTL_S / 4)
                assert await two.catalog.lead("c2", "http://c2") is None
            assert one.leader == two.leader == "c1"

    async def test_a_silent_leader_is_replaced(self, place: Place, clock: Clock | None) -> None:
        """After its time to live another takes over, with a higher fence; the old one's renewal fails."""
        async with watching(place) as one, watching(place, "c2") as two:
            began_at = trio.current_time()
            old = await led(one, "c1")
            new = await led(two, "c2")
            assert trio.current_time() - began_at >= LEADER_TTL_S / 2
            assert new.fence > old.fence
            assert not await old.renew()
            await one.until(lambda: one.leader == "c2", VISIBLE_S)
            await old.resign()
            assert await new.renew()

    async def test_who_resigns_is_replaced_at_once(self, place: Place, clock: Clock | None) -> None:
        """Nobody waits for the time to live of a leader that stopped; fences grow."""
        async with watching(place) as one, watching(place, "c2") as two:
            fences = []
            for _ in range(3):
                for name, watcher in (("c1", one), ("c2", two)):
                    began_at = trio.current_time()
                    term = await led(watcher, name)
                    assert trio.current_time() - began_at < VISIBLE_S or not fences
                    fences.append(term.fence)
                    await term.resign()
            assert fences == sorted(set(fences))
            await one.until(lambda: not one.leader, VISIBLE_S)

    async def test_an_emptied_catalog_fills_again(self, place: Place, clock: Clock | None) -> None:
        """Nodes register again by themselves, a new leader has a higher fence, and plans can be written."""
        async with watching(place) as watcher, registered(place, "n1") as (node, _):
            await watcher.until(lambda: "n1" in watcher.nodes)
            term = await led(watcher, "c1")
            await watcher.catalog.put_plan(Plan(id="p1"), 0)
            await watcher.until(lambda: watcher.plans)
            await place.empty()
            number = watcher.nodes["n1"].number if "n1" in watcher.nodes else 0
            await watcher.until(lambda: not watcher.plans)
            await watcher.until(lambda: "n1" in watcher.nodes and watcher.nodes["n1"].number > number + 1)
            with trio.fail_after(PATIENCE_S):
                while True:
                    try:
                        renewed = await term.renew()
                        break
                    except CatalogUnavailable:
                        await trio.sleep(0.1)
            assert not renewed
            assert (await led(watcher, "c1")).fence > term.fence
            await watcher.catalog.put_plan(Plan(id="p2"), 0)
            await watcher.catalog.put_order(Order(node="n1", number=5))
            await until(lambda: node.orders and node.orders[-1].number == 5)

    async def test_servers_that_start_again(self, place: Place, clock: Clock | None) -> None:
        """After a restart both sides come back by themselves, and nodes were not taken for gone meanwhile."""
        async with watching(place) as watcher, registered(place, "n1") as (node, task):
            await watcher.until(lambda: "n1" in watcher.nodes)
            place.server.kill()
            await until(lambda: watcher.catalog.contact_s > 1)
            with pytest.raises(CatalogUnavailable):
                await watcher.catalog.put_order(Order(node="n1"))
            with pytest.raises(CatalogUnavailable):
                await watcher.catalog.put_plan(Plan(id="p1"), 0)
            count, caught_up = len(watcher.events), watcher.caught_up
            # Nodes are out after that time, unless it is known that nobody could be heard.
            await trio.sleep(TTL_S)
            assert len(watcher.events) == count
            assert task.catalog.failures  # type: ignore[attr-defined]
            await trio.to_thread.run_sync(place.server.start)
            await watcher.until(lambda: watcher.caught_up > caught_up and watcher.catalog.contact_s < 1)
            number = watcher.nodes["n1"].number
            await watcher.until(lambda: watcher.nodes["n1"].number > number + 2)
            assert NodeGone("n1") not in watcher.events
            await watcher.catalog.put_order(Order(node="n1", number=9))
            await until(lambda: node.orders and node.orders[-1].number == 9)

    async def test_servers_that_hang(self, place: Place, clock: Clock | None) -> None:
        """While nothing answers, contact is lost and calls fail; what changed is seen afterwards."""
        async with watching(place) as watcher, registered(place, "n1") as (node, _):
            await watcher.until(lambda: "n1" in watcher.nodes)
            place.server.freeze()
            try:
                await until(lambda: watcher.catalog.contact_s > TTL_S / 2)
                with pytest.raises(CatalogUnavailable), trio.fail_after(PATIENCE_S):
                    await watcher.catalog.put_plan(Plan(id="p1"), 0)
                node.state = NodeReport.LEAVING
                # How long there was no contact is what is looked at.
                await trio.sleep(TTL_S)
                assert watcher.catalog.contact_s > TTL_S
            finally:
                place.server.thaw()
            await watcher.until(lambda: watcher.catalog.contact_s < 1)
            # It may be out for a moment: servers that were silent heard nothing of it either.
            await watcher.until(
                lambda: "n1" in watcher.nodes and watcher.nodes["n1"].state == NodeReport.LEAVING
            )

    async def test_a_watch_tells_of_one_node_in_order(self, place: Place, clock: Clock | None) -> None:
        """What is yielded of a node never goes back to an older report."""
        async with watching(place) as watcher, registered(place, "n1") as (_, task):
            for _ in range(20):
                task.catalog.changed()  # type: ignore[attr-defined]
                # So that a few changes become one report, and a few become several.
                await trio.sleep(0.02)
            await watcher.until(lambda: "n1" in watcher.nodes and watcher.nodes["n1"].number > 3)
            numbers = [event.report.number for event in watcher.events if isinstance(event, NodeSeen)]
            assert numbers == sorted(set(numbers))
