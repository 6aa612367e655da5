"""Nodes lose NATS while Consul stays: clients of one go to the others, those of all stay where they are."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.consul_server import ConsulServer
from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.coordinator.clients import Clients
from tests.integration.coordinator.load import (
    CHANNELS,
    Publisher,
    all_caught_up,
    assert_nothing_lost,
    in_time,
)
from tests.integration.coordinator.processes import TOKEN, CoordinatorProcess
from tests.integration.coordinator.test_page import PLANS, ROWS
from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.proxy import Proxy
from tests.integration.test_demo_page import CHROMIUM, Tab
from tests.nats_server import NatsServer
from tests.patience import PATIENCE_S

NAMES = ("node-1", "node-2", "node-3")
# Longer than `catalog.ttl_s`: whoever is alive in the catalog by then has said that its connection broke.
LOST_MAX_S = 6.0
# New sessions per second: what a node takes, and the share that plans use of it.
RATE_MAX = 100
SHARE = 0.03


class Place:
    """Three nodes with a proxy each between them and NATS, and a coordinator; both meet in Consul."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack, share: float) -> None:
        self.consul = stack.enter_context(ConsulServer())
        self.nats = stack.enter_context(NatsServer())
        self.proxies: dict[str, Proxy] = {}
        self.nodes: dict[str, NodeProcess] = {}
        for name in NAMES:
            proxy = stack.enter_context(Proxy(self.nats))
            options: dict[str, Any] = {
                "broker": {
                    "lost_max_s": f"{LOST_MAX_S}s",
                    "nats": {
                        "url": proxy.http.replace("http://", "nats://"),
                        "reconnect_delay_max_s": "0.2s",
                    },
                },
                "catalog": {"type": "consul", "consul": {"url": self.consul.url}},
                "client": {
                    "connection_rate_limit": RATE_MAX,
                    "allow_anonymous_connect_without_token": True,
                },
            }
            own = directory / name
            own.mkdir()
            cluster = stack.enter_context(Cluster(own, 0, self.nats.url, **options))
            cluster.nodes.append(cluster.start_node(name, wait=False))
            self.proxies[name], self.nodes[name] = proxy, cluster.nodes[0]
        for node in self.nodes.values():
            node.wait_ready()
        told = ["--consul", self.consul.url, "--set", f"coordinator.connect_share={share}"]
        self.coordinator = stack.enter_context(CoordinatorProcess(directory, "one", self.nats.url, *told))

    def node(self, name: str) -> dict[str, Any]:
        return self.coordinator.nodes()[name]

    def plans(self) -> list[dict[str, Any]]:
        status, answer = self.coordinator.get("/v1/plans")
        assert status == 200, answer
        return list(answer["plans"])

    async def cut(self, *names: str) -> None:
        for name in names:
            await trio.to_thread.run_sync(self.proxies[name].cut)

    def heal(self, *names: str) -> None:
        for name in names:
            self.proxies[name].target = self.nats


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        yield Place(tmp_path, stack, getattr(request, "param", SHARE))


async def test_clients_of_a_node_that_is_cut_off_go_to_the_others(place: Place) -> None:
    """With 3010, at the pace of those, and miss nothing; it takes clients again when NATS is back."""
    clients = Clients([CHANNELS[number % 20] for number in range(120)], place.coordinator.port, rate=60)
    publisher = Publisher(place.nodes["node-3"].port)
    await in_time(lambda: len(place.coordinator.serving()) == 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clients.run)
        await clients.until_settled(PATIENCE_S)
        before = clients.on("node-1")
        assert before > 15
        await nursery.start(publisher.run)
        await place.cut("node-1")
        await in_time(lambda: any(client.closes for client in clients.all))
        began_at = trio.current_time()
        node = place.node("node-1")
        assert (node["state"], node["broker_outage"], node["leaving"]["cut_off"]) == ("LEAVING", 1, True)
        assert "cut off from NATS for" in node["reason"]
        with place.coordinator.command("nodes") as listed:
            assert await trio.to_thread.run_sync(listed.wait) == 0
        assert any("clients are sent to other nodes" in line for line in listed.out), listed.out
        assert b"broadcast_coordinator_nodes_cut_off 1.0" in place.coordinator.get("/metrics")[1]
        await in_time(lambda: place.node("node-1")["connections"] == 0)
        took_s = trio.current_time() - began_at
        assert took_s > 0.5 * before / (2 * SHARE * RATE_MAX)
        await clients.until_settled(PATIENCE_S)
        publisher.stop()
        await all_caught_up(clients, publisher)
        moved = [client for client in clients.all if client.closes]
        assert len(moved) == before
        assert {code for client in moved for code, _ in client.closes} == {3010}
        assert_nothing_lost(clients, publisher)
        (plan,) = place.plans()
        assert (plan["state"], plan["cut_off"]) == ("RUNNING", True)
        place.heal("node-1")
        await in_time(lambda: place.plans()[0]["state"] == "DONE")
        assert place.node("node-1")["state"] == "SERVING"
        more = Clients(CHANNELS * 2, place.coordinator.port)
        nursery.start_soon(more.run)
        await more.until_settled(PATIENCE_S)
        assert more.on("node-1") > 0
        assert len([client for client in clients.all if len(client.closes) > 1]) == 0
        nursery.cancel_scope.cancel()


async def test_when_all_are_cut_off_everybody_stays(place: Place) -> None:
    """No plan, no goodbye: the same connections go on when NATS is back, and nothing is lost."""
    clients = Clients([CHANNELS[number % 20] for number in range(60)], place.coordinator.port)
    first = Publisher(place.nodes["node-3"].port)
    await in_time(lambda: len(place.coordinator.serving()) == 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clients.run)
        await clients.until_settled(PATIENCE_S)
        await nursery.start(first.run)
        await in_time(lambda: all(client.seen for client in clients.all))
        first.stop()
        await all_caught_up(clients, first)
        await place.cut(*NAMES)
        # Long enough for the one that noticed first to have sent somebody away.
        await in_time(
            lambda: all(place.node(name)["broker_lost_s"] > 2 * LOST_MAX_S for name in NAMES),
        )
        nodes = place.coordinator.nodes()
        assert {(node["state"], node["broker_outage"]) for node in nodes.values()} == {("NOT_READY", 1)}
        place.heal(*NAMES)
        await in_time(lambda: all(not node["broker_outage"] for node in place.coordinator.nodes().values()))
        assert place.plans() == []
        second = Publisher(place.nodes["node-3"].port)
        second.accepted = first.accepted
        await nursery.start(second.run)
        await trio.sleep(1)
        second.stop()
        await all_caught_up(clients, second)
        assert not any(client.closes or client.pauses for client in clients.all)
        assert_nothing_lost(clients, second)
        nursery.cancel_scope.cancel()


def call_back(coordinator: CoordinatorProcess) -> None:
    """As an operator who sees on the page that node-1 is cut off, and wants it to keep its clients."""
    with Program("demo_page.mjs", CHROMIUM) as browser:
        browser.expect("launched")
        page = Tab(browser, f"{coordinator.http}/")
        page.do("fill", selector="#token", text=TOKEN)
        page.do("click", selector="#login button")
        row = f"{ROWS}:has-text('node-1')"
        page.shows("cut off from NATS for", row)
        page.shows("Cut off from NATS", f"{PLANS}:has-text('node-1')")
        page.do("click", selector=f"{row} .undrain")
        page.shows("node-1 goes back into rotation", "#result")
        page.shows("the broker has been away", row)
        page.shows("cut off", f"{row} .state")
        assert browser.left("trouble") == []


@NEEDS_NODE[0]
@NEEDS_NODE[1]
@NEEDS_NODE[2]
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the PATH")
@pytest.mark.parametrize("place", [SHARE / 20], indirect=True, ids=["slowly"])
async def test_an_operator_sees_it_and_calls_the_node_back(place: Place) -> None:
    """It keeps the clients that it still has, for as long as it is cut off, and serves when that is over."""
    clients = Clients([CHANNELS[number % 20] for number in range(60)], place.coordinator.port)
    await in_time(lambda: len(place.coordinator.serving()) == 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clients.run)
        await clients.until_settled(PATIENCE_S)
        await place.cut("node-1")
        await in_time(lambda: place.node("node-1")["state"] == "LEAVING")
        await trio.to_thread.run_sync(call_back, place.coordinator)
        await in_time(lambda: {plan["state"] for plan in place.plans()} == {"FAILED", "CANCELLED"})
        left, lost_s = clients.on("node-1"), place.node("node-1")["broker_lost_s"]
        assert left > 0
        await in_time(lambda: place.node("node-1")["broker_lost_s"] > lost_s + 2 * LOST_MAX_S)
        assert clients.on("node-1") == left
        assert len(place.plans()) == 2
        place.heal("node-1")
        await in_time(lambda: place.node("node-1")["state"] == "SERVING")
        nursery.cancel_scope.cancel()
