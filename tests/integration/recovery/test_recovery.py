"""Promise 1, held against a real cluster while clients are cut and NATS is restarted.

Publishers publish to many channels over two nodes that serve HTTP; two more serve gRPC. Clients are cut at
random and come back to the other node, half of the time over another transport. NATS is restarted twice, the
second time with SIGKILL. In the end every record is compared with what was accepted.
"""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h11
import pytest
import trio

from tests.integration.cluster import API_KEY, Cluster, NodeProcess
from tests.integration.recovery.clients import Facts, Refused
from tests.integration.recovery.judge import Position, Publications, Record, Subscribed, caught_up, violations
from tests.integration.recovery.transports import TRANSPORTS
from tests.nats_server import NatsCluster, NatsServer
from tests.patience import PATIENCE_S

CHANNELS = [f"room-{number}" for number in range(30)]
CLIENTS = 24
CHANNELS_PER_CLIENT = 5
PUBLISHERS = 8
PUBLICATIONS_PER_S = 400
# However slow the machine is, so many are accepted before publishing ends.
PUBLICATIONS_MIN = 1000


class Publisher:
    """Publishes one value after another, each until it is accepted, under one idempotency key."""

    def __init__(self, name: str, nodes: list[NodeProcess], publications: Publications, seed: int) -> None:
        self.name = name
        self.nodes = nodes
        self.publications = publications
        self.random = random.Random(f"{seed} {name}")
        self.stream: trio.SocketStream | None = None
        self.http = h11.Connection(h11.CLIENT)

    async def run(self, stop: trio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            value, channel = f"{self.name}-{number}", self.random.choice(CHANNELS)
            self.publications.attempted.add(value)
            body = {"channel": channel, "data": value, "idempotency_key": value}
            position = await self.publish(body)
            while position is None:
                await trio.sleep(0.05)
                position = await self.publish(body)
            self.publications.accept(channel, position, value)
            await trio.sleep(self.random.uniform(0, 2 * PUBLISHERS / PUBLICATIONS_PER_S))
        await self.close()

    async def publish(self, body: dict[str, str]) -> Position | None:
        """One attempt over either node; None where it was not, or may not have been, accepted."""
        try:
            with trio.fail_after(10):
                reply = json.loads(await self._post(json.dumps(body).encode()))
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, h11.RemoteProtocolError):
            await self.close()
            return None
        if "error" in reply:
            assert reply["error"]["code"] == 100, reply
            return None
        return Position(reply["result"]["epoch"], reply["result"]["offset"])

    async def close(self) -> None:
        """Give the connection up."""
        if self.stream is not None:
            await trio.aclose_forcefully(self.stream)
            self.stream = None

    async def _post(self, body: bytes) -> bytes:
        if self.stream is None:
            self.http = h11.Connection(h11.CLIENT)
            self.stream = await trio.open_tcp_stream("127.0.0.1", self.random.choice(self.nodes).port)
        headers = [("Host", "test"), ("X-API-Key", API_KEY), ("Content-Length", str(len(body)))]
        request = h11.Request(method="POST", target="/api/publish", headers=headers)
        data = self.http.send(request), self.http.send(h11.Data(body)), self.http.send(h11.EndOfMessage())
        await self.stream.send_all(b"".join(part or b"" for part in data))
        answer = b""
        while not isinstance(event := self.http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.stream.receive_some())
            elif isinstance(event, h11.Data):
                answer += event.data
            elif isinstance(event, h11.ConnectionClosed):
                raise trio.BrokenResourceError("closed")
        self.http.start_next_cycle()
        return answer


class Client:
    """Subscribes to some channels, is cut, and comes back somewhere else from where it was."""

    def __init__(self, name: str, nodes: dict[str, list[NodeProcess]], seed: int) -> None:
        self.name = name
        self.nodes = nodes
        self.random = random.Random(f"{seed} {name}")
        channels = self.random.sample(CHANNELS, CHANNELS_PER_CLIENT)
        self.records = {channel: Record(name, channel) for channel in channels}
        self.transport = self.random.choice(list(TRANSPORTS))
        self.node = self.random.randrange(2)
        self.cuts = 0
        # What the last node that granted a channel serves; and true recoveries at one that serves the other.
        self.served = ""
        self.crossings = 0
        self.refusals: list[str] = []

    async def run(self, stop: trio.Event, done: trio.Event) -> None:
        """Until `done`; cut again and again until `stop`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._come_back, stop)
            await done.wait()
            nursery.cancel_scope.cancel()

    async def _come_back(self, stop: trio.Event) -> None:
        while True:
            with trio.CancelScope() as visit:
                if not stop.is_set():
                    visit.deadline = trio.current_time() + self.random.uniform(0.2, 2.5)
                await self._visit(visit)
            self.cuts += 1
            self.node = 1 - self.node
            if self.random.random() < 0.5:
                self.transport = self.random.choice(list(TRANSPORTS))
            await trio.sleep(self.random.uniform(0.05, 0.3))

    async def _visit(self, visit: trio.CancelScope) -> None:
        way, before = TRANSPORTS[self.transport], self.served

        def note(facts: Facts) -> None:
            for channel, fact in facts:
                if fact is None:
                    # Told to subscribe again: doing so on a new connection is as good.
                    visit.cancel()
                    continue
                self.records[channel].facts.append(fact)
                if isinstance(fact, Subscribed):
                    self.served = way.serve
                    self.crossings += fact.recovered and before not in ("", way.serve)

        try:
            nodes = self.nodes[way.serve]
            await way.visit(nodes[self.node], self.records, note, nodes[self.node - 1])
        except* (Refused, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
            self.refusals.extend(repr(error) for error in group.exceptions)
        except* Exception as group:
            if not all(type(error).__module__.startswith("trio_websocket") for error in _leaves(group)):
                raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _restart(servers: list[NatsServer]) -> None:
    """End one server in an orderly way and one as `kill -9` does, and start each again."""
    for server, end in ((servers[0], servers[0].stop), (servers[-1], servers[-1].kill)):
        await trio.sleep(2)
        await trio.to_thread.run_sync(end)
        await trio.sleep(0.5)
        await trio.to_thread.run_sync(server.start)
    await trio.sleep(2)


def _accepted(publications: Publications) -> int:
    return sum(len(values) for values in publications.accepted.values())


async def _until_many(publications: Publications) -> None:
    with trio.move_on_after(PATIENCE_S):
        while _accepted(publications) < PUBLICATIONS_MIN:  # noqa: ASYNC110 - as below
            await trio.sleep(0.1)


@contextmanager
def _clustered(directory: Path, servers: int) -> Iterator[tuple[Cluster, list[NatsServer]]]:
    """Two nodes of each kind on one nats-server, or on three with as many copies of every stream."""
    options = {"grpc_server": {"address": "127.0.0.1", "port": 0}, "grpc_web": {"enabled": True}}
    if servers == 1:
        with Cluster(directory, **options) as cluster:
            assert cluster.nats is not None
            _serve_grpc(cluster)
            yield cluster, [cluster.nats]
        return
    with NatsCluster(servers) as nats:
        options["broker"] = {"nats": {"url": nats.url, "stream_replicas": servers}}
        with Cluster(directory, nats_url=nats.url, **options) as cluster:
            _serve_grpc(cluster)
            yield cluster, nats.servers


def _serve_grpc(cluster: Cluster) -> None:
    cluster.start_nodes("grpc-1", "grpc-2", serve="grpc")


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "seed"), [(1, 1), (1, 2), (3, 3)])
async def test_nothing_is_lost_doubled_or_out_of_order(
    tmp_path: Path, servers: int, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """What was accepted reaches every subscriber once and in order, over cuts, moves and broker restarts."""
    publications = Publications()
    with _clustered(tmp_path, servers) as (cluster, nats_servers):
        nodes = {"http": cluster.nodes[:2], "grpc": cluster.nodes[2:]}
        clients = [Client(f"client-{number}", nodes, seed) for number in range(CLIENTS)]
        publishers = [
            Publisher(f"publisher-{number}", nodes["http"], publications, seed)
            for number in range(PUBLISHERS)
        ]
        quiet, healed, done = trio.Event(), trio.Event(), trio.Event()
        async with trio.open_nursery() as everyone:
            for client in clients:
                everyone.start_soon(client.run, healed, done)
            async with trio.open_nursery() as publishing:
                for publisher in publishers:
                    publishing.start_soon(publisher.run, quiet)
                await _restart(nats_servers)
                await _until_many(publications)
                quiet.set()
            healed.set()
            with trio.move_on_after(PATIENCE_S):
                records = [record for client in clients for record in client.records.values()]
                while not all(  # noqa: ASYNC110 - what is waited for happens in other processes
                    caught_up(record, publications) for record in records
                ):
                    await trio.sleep(0.1)
            done.set()
    found = [line for record in records for line in violations(record, publications)]
    accepted = _accepted(publications)
    recoveries = [
        fact.recovered
        for record in records
        for fact in record.facts
        if hasattr(fact, "since") and fact.since is not None
    ]
    crossings = sum(client.crossings for client in clients)
    figures = f"{accepted} accepted, {len(recoveries)} recoveries, {sum(recoveries)} true, {crossings} across"
    record_property("figures", figures)
    assert found[:10] == [], figures
    assert accepted >= PUBLICATIONS_MIN, figures
    # Nothing here removes history: a node that gave up instead of proving would be honest, and useless.
    assert sum(recoveries) > 0.9 * len(recoveries), figures
    assert crossings, figures
