"""A coordinator's bad days: wrong tokens, a catalog out of reach, many clients at once."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio

from protos.coordinator_pb2 import ListNodesRequest
from protos.coordinator_pb2_grpc import CoordinatorStub
from tests.integration.cluster import Cluster
from tests.integration.coordinator.clients import Clients
from tests.integration.coordinator.load import in_time
from tests.integration.coordinator.processes import TOKEN, CoordinatorProcess
from tests.integration.programs import run
from tests.patience import PATIENCE_S

# Sessions that the two nodes of the lasting cluster can hold: no test has so many clients there.
ROOM = {"node-1": 10, "node-2": 20}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two nodes."""
    with Cluster(tmp_path, nodes=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    """A coordinator of two nodes with little room, all of which go on when a test has ended."""
    directory = tmp_path_factory.mktemp("lasting")
    node: dict[str, Any] = {"capacity": ROOM["node-1"]}
    with Cluster(directory, nodes=1, node=node) as cluster:
        assert cluster.nats is not None
        node["capacity"] = ROOM["node-2"]
        cluster.nodes.append(cluster.start_node("node-2"))
        with CoordinatorProcess(directory, "one", cluster.nats.url) as coordinator:
            yield coordinator


@pytest.fixture
async def shared(lasting: CoordinatorProcess) -> CoordinatorProcess:
    """That coordinator, and it knows both: for tests that leave everything as they found it."""
    await in_time(lambda: len(lasting.serving()) == 2)
    return lasting


@pytest.fixture
async def coordinator(tmp_path: Path, cluster: Cluster) -> Iterator[CoordinatorProcess]:
    """A coordinator that knows both."""
    assert cluster.nats is not None
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url) as coordinator:
        await in_time(lambda: len(coordinator.serving()) == 2)
        yield coordinator


async def test_a_wrong_token_opens_nothing(shared: CoordinatorProcess) -> None:
    """Neither over HTTP, nor over gRPC, nor from the command line."""
    for token in ("", "wrong"):
        assert shared.get("/v1/nodes", token)[0] == 401
        assert shared.post("/v1/drain", {"nodes": ["node-1"]}, token)[0] == 401
        with grpc.insecure_channel(shared.grpc) as channel:
            list_nodes = CoordinatorStub(channel).ListNodes
            metadata = (("authorization", f"Bearer {token}"),)
            with pytest.raises(grpc.RpcError) as refused:
                list_nodes(ListNodesRequest(), metadata=metadata, timeout=PATIENCE_S)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    refusal = run("drain", "node-1", "--coordinator", shared.http, "--token", "wrong")
    assert refusal.returncode == 1
    assert "refuses the token" in refusal.stderr
    assert TOKEN not in shared.log()
    assert all(node["state"] == "SERVING" for node in shared.nodes().values())


async def test_without_the_catalog_there_is_no_old_news(
    coordinator: CoordinatorProcess, cluster: Cluster
) -> None:
    """NATS does not answer: 503 within seconds, on every path that tells of nodes, until it is back."""
    assert cluster.nats is not None
    assert cluster.nats.process is not None
    assert coordinator.get("/discover")[0] == 200
    cluster.nats.process.send_signal(signal.SIGSTOP)
    try:
        await in_time(lambda: coordinator.get("/discover")[0] == 503)
        for path in ("/v1/nodes", "/v1/plans", "/readyz"):
            assert coordinator.get(path)[0] == 503, path
        assert coordinator.post("/v1/drain", {"nodes": ["node-1"]})[0] == 503
    finally:
        cluster.nats.process.send_signal(signal.SIGCONT)
    await in_time(lambda: coordinator.get("/discover")[0] == 200)


async def test_a_killed_node_vanishes(coordinator: CoordinatorProcess, cluster: Cluster) -> None:
    """Kill -9 leaves nothing behind."""
    cluster.nodes[1].kill()
    await in_time(lambda: set(coordinator.nodes()) == {"node-1"})


async def test_a_thousand_clients_in_a_second_are_not_told_the_same(shared: CoordinatorProcess) -> None:
    """No node is named to more than it has room for: what was handed out counts before any report can.

    None of them goes there, and once a node has reported that often enough its room is there again.
    """
    clients = Clients([], shared.port)
    told: Counter[str] = Counter()

    async def ask() -> None:
        for _ in range(50):
            place = await clients.discover()
            told[place["node"] if place else ""] += 1

    before = await trio.to_thread.run_sync(shared.nodes)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    after = await trio.to_thread.run_sync(shared.nodes)
    for name, room in ROOM.items():
        reports = int(after[name]["number"]) - int(before[name]["number"])
        assert room <= told[name] <= room * (1 + reports), (told, reports)
    assert told[""]


async def test_the_last_node_is_not_drained_by_mistake(shared: CoordinatorProcess) -> None:
    """The refusal comes before anything happens, and says how to do it nevertheless."""
    refusal = run("drain", "node-1", "node-2", "--coordinator", shared.http, "--token", TOKEN)
    assert refusal.returncode == 1
    assert "no other node would be left" in refusal.stderr


async def test_nodes_are_listed(shared: CoordinatorProcess) -> None:
    """`broadcast nodes` for people and for programs."""
    listed = run("nodes", "--coordinator", shared.http, "--token", TOKEN)
    assert "node-1" in listed.stdout
    assert "serving" in listed.stdout
    told = run("nodes", "--json", "--coordinator", shared.http, "--token", TOKEN)
    assert {node["name"] for node in json.loads(told.stdout)["nodes"]} == {"node-1", "node-2"}


async def test_it_stops_in_order(coordinator: CoordinatorProcess) -> None:
    """SIGTERM: exit code 0, though a watcher is connected and stays."""
    request = f"GET /v1/watch HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    watcher = await trio.open_tcp_stream("127.0.0.1", coordinator.port)
    await watcher.send_all(request.encode())
    await in_time(lambda: b"door_connections 2" in coordinator.get("/metrics")[1])
    assert await trio.to_thread.run_sync(coordinator.stop) == 0
    async with watcher:
        assert (await watcher.receive_some()).startswith(b"HTTP/1.1 200")
