"""Operators' orders reach real nodes over either catalog, one after the other, and do what they say."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.cluster import Cluster
from tests.integration.coordinator.clients import Clients
from tests.integration.coordinator.load import (
    CHANNELS,
    Publisher,
    all_caught_up,
    assert_nothing_lost,
    in_time,
)
from tests.integration.coordinator.processes import CoordinatorProcess

TTL_S = 5.0


@pytest.fixture
def cluster(tmp_path: Path, catalog_options: dict[str, Any]) -> Iterator[Cluster]:
    """Two nodes that nobody balances clients over."""
    options = {**catalog_options, "ttl_s": TTL_S}
    with Cluster(tmp_path, nodes=2, catalog=options) as cluster:
        yield cluster


async def test_a_node_called_back_can_take_over_at_once(
    tmp_path: Path, cluster: Cluster, catalog: list[str]
) -> None:
    """When `undrain` returns the node counts: the only other one can be drained without force."""
    assert cluster.nats is not None
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.serving()) == 2)
        for node, other in (("node-1", "node-2"), ("node-2", "node-1")):
            with coordinator.command("drain", node) as drain:
                assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
            assert coordinator.get("/discover")[1]["node"] == other
            with coordinator.command("undrain", node) as undrain:
                assert await trio.to_thread.run_sync(undrain.wait) == 0, undrain.told


@pytest.mark.slow
async def test_a_new_node_gets_its_share(tmp_path: Path, cluster: Cluster, catalog: list[str]) -> None:
    """`broadcast rebalance` moves as many as make it even, and nobody misses a message."""
    assert cluster.nats is not None
    limits = ("threshold_sessions=4", "threshold_relative=0.1", "age_min_s=0.5")
    told = [word for limit in limits for word in ("--set", f"coordinator.rebalance.{limit}")]
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *told, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.serving()) == 2)
        clients = Clients([CHANNELS[number % 20] for number in range(90)], coordinator.port)
        publisher = Publisher(cluster.nodes[1].port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            await clients.until_settled(60)
            await nursery.start(publisher.run)
            cluster.nodes.append(cluster.start_node("node-3"))

            def reported() -> bool:
                nodes = coordinator.nodes().values()
                connections = sum(node["connections"] for node in nodes)
                return [node["state"] for node in nodes] == ["SERVING"] * 3 and connections == 90

            await in_time(reported)
            with coordinator.command("rebalance", "--rate", "20", "--json") as rebalance:
                assert await trio.to_thread.run_sync(rebalance.wait) == 0, rebalance.told
            await clients.until_settled(60)
            publisher.stop()
            await all_caught_up(clients, publisher)
            nursery.cancel_scope.cancel()
        plan = json.loads(rebalance.out[-1])
        moved = sum(step["sent_away"] for step in plan["steps"])
        assert plan["state"] == "DONE", plan
        # A few more may go until a node that has sent enough has heard so.
        assert 0 < moved <= sum(len(client.closes) for client in clients.all)
        assert {close for client in clients.all for close in client.closes} == {
            (3001, "moved to another node")
        }
        # A third of 90, and less what chance and the thresholds make of it: where each goes is drawn by lot.
        assert clients.on("node-3") >= 12
        assert_nothing_lost(clients, publisher)


@pytest.mark.slow
async def test_a_node_that_hangs_is_out_and_comes_back(
    tmp_path: Path, cluster: Cluster, catalog: list[str]
) -> None:
    """SIGSTOP: not listed and not suggested after its time to live; then as it was, with its sessions."""
    assert cluster.nats is not None
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.serving()) == 2)
        clients = Clients([CHANNELS[number % 20] for number in range(40)], coordinator.port)
        publisher = Publisher(cluster.nodes[1].port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            await clients.until_settled(60)
            await nursery.start(publisher.run)
            before, was = coordinator.nodes()["node-1"], clients.on("node-1")
            assert was > 5
            process = cluster.nodes[0].process
            process.send_signal(signal.SIGSTOP)
            stopped_at = trio.current_time()
            try:
                await in_time(lambda: set(coordinator.nodes()) == {"node-2"})
                # A report was under way when it stopped, and one watch and one look are late.
                assert trio.current_time() - stopped_at <= 3 * TTL_S
                for _ in range(20):
                    _, place = coordinator.get("/discover")
                    assert (place["node"], place["alternatives"]) == ("node-2", [])
            finally:
                process.send_signal(signal.SIGCONT)
            await in_time(lambda: coordinator.nodes().get("node-1", {}).get("state") == "SERVING")
            await clients.until_settled(60)
            publisher.stop()
            await all_caught_up(clients, publisher)
            after = coordinator.nodes()["node-1"]
            nursery.cancel_scope.cancel()
        assert after["instance"] == before["instance"]
        # Nobody's ping was so late that it was sent away: they are the same sessions, and missed nothing.
        assert clients.on("node-1") == was
        assert not any(client.closes for client in clients.all)
        assert_nothing_lost(clients, publisher)
