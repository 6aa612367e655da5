"""The broker on a cluster of three servers with three copies of each stream."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import trio

from node.broker.interface import BrokerUnavailable, HistoryOptions, Message
from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats.broker import NatsBroker
from tests.contracts.broker import HISTORY, BrokerContract, Inbox, MakeBroker, numbered, publish, until
from tests.nats_server import NatsCluster, NatsServer
from tests.node.broker.nats.conftest import Brokers
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow
# Everything published stays to be compared.
LARGE = Namespaces({"": NamespaceStore(HistoryOptions(size=100_000, ttl_s=300, meta_ttl_s=300))})


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[NatsCluster]:
    """Three servers for all tests that do not harm them."""
    with NatsCluster(3) as cluster:
        yield cluster


class TestNatsCluster(BrokerContract):
    """The contract, on streams with three copies."""

    @pytest.fixture
    def make_broker(self, connect: Brokers, shared_cluster: NatsCluster) -> MakeBroker:
        """Brokers over the cluster, each at any of its servers."""

        async def make() -> NatsBroker:
            return await connect(shared_cluster.url, stream_replicas=3, request_deadline_s=10)

        return make

    async def test_interest_holds_when_subscribe_returns(self, make_broker: MakeBroker) -> None:
        """A fresh interest may miss a live copy here; then the heads show what is stored."""
        publisher, subscriber, inbox = await make_broker(), await make_broker(), Inbox()
        names = [f"c{number}" for number in range(100)]
        for name in names:
            await subscriber.subscribe(name, inbox.deliver)
            await publish(publisher, name, name)
        heads = await subscriber.heads(names)
        delivered = {live.message.data.decode(): live.offset for live in inbox.lives}
        stored = {name: head.offset for name, head in heads.items()}
        assert len(set(stored.values())) == len(names)
        assert delivered.items() <= stored.items()


async def leader_of(cluster: NatsCluster, broker: NatsBroker, stream: str) -> NatsServer:
    """The server that leads a stream."""
    answer = await broker.feed.request(f"$JS.API.STREAM.INFO.{stream}", b"", deadline_s=5)
    name = msgspec.json.decode(answer.payload)["cluster"]["leader"]
    return next(server for server in cluster.servers if server.name == name)


class Publishers:
    """Tasks that publish one after the other, each to a channel of its own, until they are told to stop.

    Attributes:
        accepted: by channel, the offset and data of every message a broker said was stored.
        unknown: data of messages of which no broker could say.
    """

    def __init__(self) -> None:
        self.accepted: dict[str, list[tuple[int, bytes]]] = {}
        self.unknown: set[bytes] = set()
        self.stop = trio.Event()

    async def publish(self, broker: NatsBroker, channel: str) -> None:
        """One task."""
        accepted = self.accepted[channel] = []
        number = 0
        while not self.stop.is_set():
            number += 1
            data = f"{channel}-{number}".encode()
            try:
                position = await broker.publish(channel, Message(data), HISTORY)
            except BrokerUnavailable:
                self.unknown.add(data)
            else:
                assert position is not None
                accepted.append((position.offset, data))

    async def progress(self, channels: list[str], count: int) -> None:
        """Wait until that many more messages were accepted on each of the channels."""
        goals = {channel: len(self.accepted.get(channel, ())) + count for channel in channels}

        async def reached() -> bool:
            return all(len(self.accepted.get(channel, ())) >= goal for channel, goal in goals.items())

        await until(reached)


async def test_nothing_accepted_is_lost_with_a_leader(connect: Brokers, prefix: str) -> None:
    """The leader of a stream is killed while nodes publish: what was accepted is stored once, in order."""
    with NatsCluster(3) as cluster:
        more: dict[str, Any] = {"namespaces": LARGE, "stream_replicas": 3, "request_deadline_s": 15}
        brokers = [await connect(server.url, **more) for server in cluster.servers]
        (first,) = await publish(brokers[0], "first", "x")
        leader = await leader_of(cluster, brokers[0], f"{prefix}-_-0")
        survivors = [
            broker for broker, server in zip(brokers, cluster.servers, strict=True) if server is not leader
        ]
        channels = [f"c{number}" for number in range(6)]
        inboxes = {channel: Inbox() for channel in channels}
        for channel, inbox in inboxes.items():
            await survivors[0].subscribe(channel, inbox.deliver)
        publishers = Publishers()
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                for number, channel in enumerate(channels):
                    nursery.start_soon(publishers.publish, survivors[number % 2], channel)
                await publishers.progress(channels, 50)
                leader.kill()
                await publishers.progress(channels, 50)
                publishers.stop.set()
        for channel in channels:
            page = await survivors[1].read(channel, first, 100_000)
            assert page.complete
            stored = [(live.offset, live.message.data) for live in page.messages]
            assert [item for item in stored if item[1] not in publishers.unknown] == publishers.accepted[
                channel
            ]
            assert len({data for _, data in stored}) == len(stored), "a retried message was stored twice"
            offsets = [live.offset for live in inboxes[channel].lives]
            assert offsets == sorted(offsets)
            assert set(offsets) <= {offset for offset, _ in stored}
        assert [broker.recorder.epochs for broker in survivors] == [[], []]
        assert all(broker.recorder.suspect for broker in survivors)


async def test_reads_reach_what_this_node_knows(connect: Brokers, shared_cluster: NatsCluster) -> None:
    """A page read right behind an accepted publish has it, whichever replica answers."""
    more: dict[str, Any] = {"stream_replicas": 3, "request_deadline_s": 10}
    one = await connect(shared_cluster.servers[0].url, **more)
    other = await connect(shared_cluster.servers[1].url, **more)
    previous = (await one.heads(["news"]))["news"].up_to
    for number in range(200):
        (offset,) = await publish(one, "news", f"m{number}")
        page = await other.read("news", previous, 10, at_least=offset)
        assert [live.offset for live in page.messages] == [offset]
        assert page.complete
        assert (await one.heads(["news"]))["news"].offset == offset
        previous = offset


async def test_positions_mean_the_same_on_every_node(connect: Brokers, shared_cluster: NatsCluster) -> None:
    """Pages are complete exactly when nothing was removed, whichever node and replica answers."""
    rng = random.Random(7)
    more: dict[str, Any] = {"stream_replicas": 3, "request_deadline_s": 10}
    brokers = [await connect(server.url, **more) for server in shared_cluster.servers]
    offsets: list[int] = []
    for _ in range(40):
        offsets += await publish(rng.choice(brokers), "news", *numbered(rng.randint(1, 3)))
        missed = rng.randint(0, min(len(offsets) - 1, HISTORY.size + 3))
        since = offsets[-1 - missed]
        page = await rng.choice(brokers).read("news", since, 100)
        assert page.complete == (missed <= HISTORY.size)
        if page.complete:
            assert [live.offset for live in page.messages] == offsets[len(offsets) - missed :]
