"""Nodes are drained under load: nobody loses a message, whoever leads, and whoever dies meanwhile."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.consul_server import ConsulServer
from tests.integration.cluster import API_KEY, Cluster
from tests.integration.coordinator.clients import Clients
from tests.integration.coordinator.processes import CoordinatorProcess

CHANNELS = [f"smooth-{number}" for number in range(20)]
ENDED = ("DONE", "FAILED", "CANCELLED")
DRAIN: dict[str, Any] = {"arrivals_quiet_s": 0.5}


@pytest.fixture(params=["nats", "consul"])
def catalog(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Where nodes and coordinators meet, as arguments of a coordinator."""
    if request.param == "nats":
        yield []
    else:
        with ConsulServer() as consul:
            yield ["--consul", consul.url]


@pytest.fixture
def cluster(tmp_path: Path, catalog: list[str]) -> Iterator[Cluster]:
    """Three nodes that wait briefly for arrivals."""
    options = {"type": "consul", "consul": {"url": catalog[1]}} if catalog else {"type": "nats"}
    with Cluster(tmp_path, nodes=3, drain=DRAIN, catalog=options) as cluster:
        yield cluster


class Publisher:
    """Publishes numbers to every channel in turn, on one node, and remembers what was accepted."""

    def __init__(self, port: int, channels: Sequence[str] = CHANNELS, interval_s: float = 0.02) -> None:
        self.port = port
        self.accepted: dict[str, list[int]] = {channel: [] for channel in channels}
        self._interval_s = interval_s
        self._stopping = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        task_status.started()
        number = 0
        async with stream:
            while not self._stopping:
                for channel in self.accepted:
                    await self._publish(stream, channel, number)
                    self.accepted[channel].append(number)
                    await trio.sleep(self._interval_s)
                number += 1

    def stop(self) -> None:
        self._stopping = True

    async def _publish(self, stream: trio.SocketStream, channel: str, number: int) -> None:
        body = json.dumps({"channel": channel, "data": number}).encode()
        fields = f"Host: test\r\nX-API-Key: {API_KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        await stream.send_all(f"POST /api/publish HTTP/1.1\r\n{fields}".encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            answer += await stream.receive_some()
        assert b'"offset"' in answer, answer


async def in_time(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Ask again until the condition holds: it is another process's."""
    with trio.fail_after(limit_s):
        while not await trio.to_thread.run_sync(condition):  # noqa: ASYNC110 - nobody sets an event
            await trio.sleep(0.1)


async def all_caught_up(clients: Clients, *publishers: Publisher, limit_s: float = 20.0) -> None:
    """Give every client the time to get the last publication; assertions find who has not by then."""
    await trio.sleep(0.5)  # what was being published is accepted by then
    published = {channel: told for publisher in publishers for channel, told in publisher.accepted.items()}
    with trio.move_on_after(limit_s):
        while any(client.seen[-1:] != published[client.channel][-1:] for client in clients.all):  # noqa: ASYNC110 - as above
            await trio.sleep(0.1)


def assert_nothing_lost(clients: Clients, *publishers: Publisher) -> None:
    """Every client has every publication since its first, once, in order."""
    published = {channel: told for publisher in publishers for channel, told in publisher.accepted.items()}
    for client in clients.all:
        accepted = published[client.channel]
        assert client.seen == accepted[len(accepted) - len(client.seen) :]
        assert client.lost == 0


async def test_a_drain_under_load_loses_nothing(tmp_path: Path, cluster: Cluster, catalog: list[str]) -> None:
    """`broadcast drain` empties a node before its deadline; its clients go on elsewhere and miss nothing."""
    assert cluster.nats is not None
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.nodes()) == 3)
        clients = Clients([CHANNELS[number % 20] for number in range(200)], coordinator.port)
        publisher = Publisher(cluster.nodes[2].port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            await clients.until_settled(30)
            before = clients.on("node-1")
            assert before > 30
            await nursery.start(publisher.run)
            with coordinator.command("drain", "node-1", "--deadline", "20s", "--json") as drain:
                assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
            last = json.loads(drain.out[-1])
            assert last["state"] == "DONE"
            assert last["steps"][0]["sent_away"] == before
            await clients.until_settled(10)
            await trio.sleep(1)
            publisher.stop()
            await trio.sleep(0.5)
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
        await in_time(lambda: coordinator.nodes()["node-1"]["state"] == "SERVING")


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
        await in_time(lambda: len(other.nodes()) == 3)
        clients = Clients([CHANNELS[number % 20] for number in range(120)], other.port)
        publisher = Publisher(cluster.nodes[2].port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            await clients.until_settled(30)
            before = clients.on("node-1")
            await nursery.start(publisher.run)
            with other.command("drain", "node-1", "--deadline", "60s", "--json", "--force") as drain:
                await in_time(lambda: 0 < clients.on("node-1") < before - 2)
                leader.kill()
                left = clients.on("node-1")
                assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
            assert left > 0
            await clients.until_settled(10)
            await trio.sleep(1)
            publisher.stop()
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        assert other.leads()
        assert_nothing_lost(clients, publisher)


async def test_drain_stop_ends_the_process(tmp_path: Path, cluster: Cluster, catalog: list[str]) -> None:
    """With --stop the node exits with 0 when it is empty: what a preStop hook wants."""
    assert cluster.nats is not None
    with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *catalog) as coordinator:
        await in_time(lambda: len(coordinator.nodes()) == 3)
        with coordinator.command("drain", "node-2", "--stop") as drain:
            assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
        assert cluster.nodes[1].process.wait(timeout=20) == 0
        await in_time(lambda: set(coordinator.nodes()) == {"node-1", "node-3"})


@pytest.mark.slow
async def test_five_thousand_clients_of_a_node_are_moved_at_the_pace_of_the_others(tmp_path: Path) -> None:
    """No receiving node is sent more clients per second than it is configured to take, and nobody waits long.

    How long is measured between two publications, by those clients whose channels have twenty a second.
    """
    channels, fast = [f"smooth-{number}" for number in range(100)], [f"fast-{number}" for number in range(5)]
    rate_max, count = 200, 5000
    client = {"connection_rate_limit": rate_max}
    with Cluster(tmp_path, nodes=1, drain=DRAIN, client=client) as cluster:
        assert cluster.nats is not None
        with CoordinatorProcess(tmp_path, "one", cluster.nats.url) as coordinator:
            await in_time(lambda: len(coordinator.nodes()) == 1)
            wanted = [channels[n % 100] if n % 25 else fast[n // 25 % 5] for n in range(count)]
            clients = Clients(wanted, coordinator.port)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(clients.run)
                await clients.until_settled(120)
                cluster.nodes += [cluster.start_node("node-2"), cluster.start_node("node-3")]
                await in_time(lambda: len(coordinator.nodes()) == 3)
                publisher = Publisher(cluster.nodes[2].port, channels, interval_s=0.05)
                often = Publisher(cluster.nodes[2].port, fast, interval_s=0.01)
                await nursery.start(publisher.run)
                await nursery.start(often.run)
                await trio.sleep(5)
                refused = clients.refused
                with coordinator.command("drain", "node-1", "--deadline", "60s", "--json") as drain:
                    rates: list[float] = []

                    def ended() -> bool:
                        rates.extend(node["connect_rate"] for node in coordinator.nodes().values())
                        return bool(drain.out) and json.loads(drain.out[-1])["state"] in ENDED

                    await in_time(ended, 70)
                await clients.until_settled(20)
                await trio.sleep(5)
                publisher.stop()
                often.stop()
                await all_caught_up(clients, publisher, often)
                nursery.cancel_scope.cancel()
    last = json.loads(drain.out[-1])
    assert last["state"] == "DONE", last["note"]
    assert last["steps"][0]["sent_away"] == count
    assert_nothing_lost(clients, publisher, often)
    pauses = [pause for client in clients.all for pause in client.pauses]
    own = [delay for client in clients.all for delay in client.delays]
    gaps = [gap for client in clients.all if client.channel in fast for gap in client.gaps]
    assert len(gaps) >= 190
    figures = f"pauses {p99(pauses):.2f} s, of them their own {p99(own):.2f}, gaps {p99(gaps):.2f}"
    assert p99(gaps) <= 1.5, figures
    assert p99(pauses) <= 1.5, figures
    assert max(rates) <= rate_max, figures
    # A node refuses what is above its rate by itself: that it hardly has to shows that the pace was right.
    assert clients.refused - refused < 0.1 * count, figures


def p99(seconds: Sequence[float]) -> float:
    """What one in a hundred exceeds."""
    return sorted(seconds)[int(0.99 * len(seconds))]
