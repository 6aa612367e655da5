"""Nodes without doors: a hub and Channels each, over brokers that share a store."""

import random

import trio
from trio.testing import wait_all_tasks_blocked

from node.broker.interface import HistoryOptions, Message
from node.config.options import ChannelOptions, Duration, HistoryRunOptions
from node.history.channels import Channels
from node.history.recovery import Joined
from node.hub import Hub
from node.protocol.messages import StreamPosition
from node.telemetry.metrics import Metrics
from tests.fakes.broker import FakeBroker
from tests.fakes.clients import RecordingClient
from tests.fakes.store import Store

# Only its presence matters to the fake broker.
_HISTORY = HistoryOptions(1, 1, 1)


def history_options(size: int = 10, ttl_s: float = 1e6, meta_ttl_s: float = 1e9) -> ChannelOptions:
    """Options of channels that keep history."""
    return ChannelOptions(
        history_size=size, history_ttl=Duration(ttl_s), history_meta_ttl=Duration(meta_ttl_s)
    )


class FakeNode:
    """One node over a store shared with its peers; `run` it in a nursery.

    Channels named `plain...` keep no history.
    """

    def __init__(
        self,
        store: Store,
        peers: list[FakeBroker],
        *,
        seed: int = 0,
        options: ChannelOptions | None = None,
        run_options: HistoryRunOptions | None = None,
        recovery_limit: int = 300,
    ) -> None:
        self.broker = FakeBroker(store, peers, seed=seed)
        self.metrics = Metrics()
        self.hub = Hub(self.metrics)
        options = options if options is not None else history_options(store.size)
        self.channels = Channels(
            self.broker,
            self.hub,
            lambda channel: ChannelOptions() if channel.startswith("plain") else options,
            run_options or HistoryRunOptions(),
            namespace_of=lambda _channel: "",
            recovery_limit=recovery_limit,
            lost_max_s=10.0,
            meta_ttl_s=1e9,
            metrics=self.metrics,
            clock=trio.current_time,
        )
        self.broker.listener = self.channels

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run all parts for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.broker.run)
            nursery.start_soon(self.hub.run)
            await nursery.start(self.channels.run)
            task_status.started()


class Slowly(random.Random):
    """Takes the longest of every time."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Cluster:
    """Nodes over one store, and clients that join and stay."""

    def __init__(self, nursery: trio.Nursery, size: int = 10) -> None:
        self.store = Store(size)
        self.peers: list[FakeBroker] = []
        self.nursery = nursery
        self.published = 0

    async def node(self, **arguments: object) -> FakeNode:
        node = FakeNode(self.store, self.peers, **arguments)
        await self.nursery.start(node.run)
        return node

    async def publish(self, node: FakeNode, count: int = 1, channel: str = "a") -> None:
        """Publish through a node; payloads count from 0 on."""
        for _ in range(count):
            history = None if channel.startswith("plain") else _HISTORY
            await node.broker.publish(channel, Message(b"%d" % self.published), history)
            self.published += 1
        await wait_all_tasks_blocked()

    def client(self, channel: str = "a", *, tracked: bool = True) -> RecordingClient:
        return RecordingClient(channel, self.store, tracked=tracked)


async def join(node: FakeNode, client: RecordingClient, since: StreamPosition | None = None) -> Joined:
    """Join with a position, as an SDK does, and take the answer."""
    client.position = since
    joined = await node.channels.join(client.subscribe(), since)
    client.joined(joined)
    return joined


def leave(node: FakeNode, client: RecordingClient) -> None:
    """Leave; the position stays with the client."""
    assert client.subscription is not None
    node.channels.leave(client.subscription)
