"""Nodes are drained under load: nobody loses a message, whoever leads, and whoever dies meanwhile."""

import json
import signal
from collections.abc import Iterator
from itertools import groupby
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

DRAIN: dict[str, Any] = {"arrivals_quiet_s": 0.5}


@pytest.fixture
def cluster(tmp_path: Path, catalog_options: dict[str, Any]) -> Iterator[Cluster]:
    """Three nodes that wait briefly for arrivals."""
    with Cluster(tmp_path, nodes=3, drain=DRAIN, catalog=catalog_options) as cluster:
        yield cluster


async def test_a_drain_under_load_loses_nothing(tmp_path: Path, cluster: Cluster, catalog: list[str]) -> None:
    """`broadcast drain` empties a node before its deadline; its clients go on elsewhere and miss nothing."""
    assert cluster.nats is not None
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.serving()) == 3)
        clients = Clients([CHANNELS[number % 20] for number in range(200)], coordinator.port)
        publisher = Publisher(cluster.nodes[2].port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            await clients.until_settled(60)
            before = clients.on("node-1")
            assert before > 30
            await nursery.start(publisher.run)
            with coordinator.command("drain", "node-1", "--deadline", "20s", "--json") as drain:
                assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
            last = json.loads(drain.out[-1])
            assert last["state"] == "DONE"
            assert last["steps"][0]["sent_away"] == before
            await clients.until_settled(60)
            publisher.stop()
            await all_caught_up(clients, publisher)
            nursery.cancel_scope.cancel()
        assert clients.on("node-1") == 0
        assert_nothing_lost(clients, publisher)
        moved = [client for client in clients.all if client.closes]
        assert len(moved) == before
        assert {client.closes[0][0] for client in moved} <= {3001, 3011}
        assert all(reason for client in moved for _, reason in client.closes)
        assert coordinator.nodes()["node-1"]["state"] == "LEAVING"
        with coordinator.command("undrain", "node-1") as undrain:
            assert await trio.to_thread.run_sync(undrain.wait) == 0
        assert coordinator.nodes()["node-1"]["state"] == "SERVING"


async def test_all_nodes_are_drained_one_after_another(
    tmp_path: Path, cluster: Cluster, catalog: list[str]
) -> None:
    """`broadcast drain --all --max-unavailable 1`: each is back before the next leaves; nothing is lost."""
    assert cluster.nats is not None
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.serving()) == 3)
        clients = Clients([CHANNELS[number % 20] for number in range(60)], coordinator.port)
        publisher = Publisher(cluster.nodes[2].port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            await clients.until_settled(60)
            await nursery.start(publisher.run)
            rolling = ("--all", "--max-unavailable", "1", "--resume", "--deadline", "30s", "--json")
            with coordinator.command("drain", *rolling) as drain:
                assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
            await clients.until_settled(60)
            publisher.stop()
            await all_caught_up(clients, publisher)
            nursery.cancel_scope.cancel()
        assert_nothing_lost(clients, publisher)
        seen = [json.loads(line)["steps"] for line in drain.out]
        out = [[step["node"] for step in steps if step["state"] not in ("PENDING", "DONE")] for steps in seen]
        assert [names for names, _ in groupby(filter(None, out))] == [["node-1"], ["node-2"], ["node-3"]]
        moves = sum(len(client.closes) for client in clients.all)
        assert sum(step.get("sent_away", 0) for step in seen[-1]) == moves
        assert all(client.closes for client in clients.all)
        assert len(coordinator.serving()) == 3


@pytest.mark.slow
async def test_a_leader_killed_in_the_middle_is_replaced(
    tmp_path: Path, cluster: Cluster, catalog: list[str]
) -> None:
    """The second coordinator takes the drain up, and the command that watches goes on watching."""
    assert cluster.nats is not None
    slow = ("--set", "coordinator.leader_ttl_s=2", "--set", "coordinator.connect_share=0.02")
    with (
        CoordinatorProcess(tmp_path, "first", cluster.nats.url, *slow, *catalog) as first,
        CoordinatorProcess(tmp_path, "second", cluster.nats.url, *slow, *catalog) as second,
    ):
        await in_time(lambda: first.leads() or second.leads())
        leader, other = (first, second) if first.leads() else (second, first)
        await in_time(lambda: len(other.serving()) == 3)
        clients = Clients([CHANNELS[number % 20] for number in range(120)], other.port)
        publisher = Publisher(cluster.nodes[2].port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            await clients.until_settled(60)
            before = clients.on("node-1")
            await nursery.start(publisher.run)
            with other.command("drain", "node-1", "--deadline", "60s", "--json", "--force") as drain:
                await in_time(lambda: 0 < clients.on("node-1") < before - 2)
                leader.kill()
                left = clients.on("node-1")
                assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
            assert left > 0
            await clients.until_settled(60)
            publisher.stop()
            await all_caught_up(clients, publisher)
            nursery.cancel_scope.cancel()
        assert other.leads()
        assert_nothing_lost(clients, publisher)


async def test_drain_stop_ends_the_process(tmp_path: Path, cluster: Cluster, catalog: list[str]) -> None:
    """With --stop the node exits with 0 when it is empty: what a preStop hook wants."""
    assert cluster.nats is not None
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.serving()) == 3)
        with coordinator.command("drain", "node-2", "--stop") as drain:
            assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
        assert cluster.nodes[1].process.wait(timeout=60) == 0
        await in_time(lambda: set(coordinator.nodes()) == {"node-1", "node-3"})


async def test_a_signal_in_the_middle_of_a_drain_ends_it(
    tmp_path: Path, cluster: Cluster, catalog: list[str]
) -> None:
    """SIGTERM to a node that is drained without --stop: it ends when it is empty, and the drain is done."""
    assert cluster.nats is not None
    slow = ("--set", "coordinator.connect_share=0.1")
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *slow, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.serving()) == 3)
        clients = Clients([CHANNELS[0]] * 150, coordinator.port, rate=50)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            await clients.until_settled(60)
            before = clients.on("node-1")
            await in_time(lambda: coordinator.nodes()["node-1"]["connections"] == before)
            with coordinator.command("drain", "node-1", "--deadline", "600s", "--json") as drain:
                await in_time(lambda: clients.on("node-1") < before)
                cluster.nodes[0].process.send_signal(signal.SIGTERM)
                assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
            assert cluster.nodes[0].process.wait(timeout=60) == 0
            await clients.until_settled(60)
            nursery.cancel_scope.cancel()
        last = json.loads(drain.out[-1])
        assert (last["state"], last["steps"][0]["sent_away"]) == ("DONE", before)
