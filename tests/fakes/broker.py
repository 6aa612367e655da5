"""A broker whose faults a test chooses: it drops, doubles and delays live copies, and its reads may lag.

Several brokers share one Store, as the nodes of a cluster do. Live copies keep their order.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from node.broker.interface import (
    BrokerUnavailable,
    Head,
    HistoryOptions,
    Listener,
    Live,
    Message,
    Page,
    Unanswered,
)
from node.protocol.messages import StreamPosition
from tests.fakes.store import Store


@dataclass(eq=False, slots=True)
class FakeInterest:
    channel: str
    deliver: Callable[[Live], None]


class FakeBroker:
    """See the module; `run` carries live copies.

    Attributes:
        drop: the part of live copies that never come.
        double: the part of live copies that come twice.
        delay_s: a live copy takes up to this long, seconds.
        latency_s: a request takes up to this long, seconds.
        lagging: the part of reads the replica answers.
        fail: the part of reads that end with BrokerUnavailable.
        deadline_s: how long a read waits for a replica to reach `at_least`, seconds.
        reads, head_requests: how many were made.
    """

    def __init__(self, store: Store, peers: list["FakeBroker"] | None = None, *, seed: int = 0) -> None:
        self.store = store
        self.peers = peers if peers is not None else []
        self.peers.append(self)
        self.listener: Listener | None = None
        self.drop = self.double = self.lagging = self.fail = 0.0
        self.delay_s = 0.0
        self.latency_s = 0.0
        self.deadline_s = 3.0
        self.reads = 0
        self.head_requests = 0
        self.interests: list[FakeInterest] = []
        self._random = random.Random(seed)
        self._down_since: float | None = None
        self._breaks = 0
        self._epoch = store.epoch
        self._queue: deque[tuple[str, str, Live] | trio.Event] = deque()
        self._parked = trio.lowlevel.ParkingLot()

    # --- the broker -----------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._down_since is None

    @property
    def disconnected_for_s(self) -> float:
        return 0.0 if self._down_since is None else trio.current_time() - self._down_since

    async def publish(
        self, channel: str, message: Message, history: HistoryOptions | None = None, message_id: str = ""
    ) -> StreamPosition | None:
        await self._request()
        if history is None:
            live, position = Live(message), None
        else:
            live = self.store.add(channel, message, trio.current_time())
            position = StreamPosition(live.offset, self.store.epoch)
        for peer in self.peers:
            peer._send(channel, live)
        return position

    async def remove_history(self, channel: str) -> StreamPosition:
        await self._request()
        live = self.store.add(channel, Message(b""), trio.current_time(), tombstone=True)
        for peer in self.peers:
            peer._send(channel, live)
        return StreamPosition(live.offset, self.store.epoch)

    async def flush(self) -> None:
        """The answer comes behind the live copies."""
        breaks = self._breaks
        await self._request()
        answered = trio.Event()
        self._queue.append(answered)
        self._parked.unpark_all()
        with trio.move_on_after(self.deadline_s):
            await answered.wait()
        if self._breaks != breaks:
            raise BrokerUnavailable("the feed broke")
        if not answered.is_set():
            raise Unanswered("the feed was silent")

    async def subscribe(self, channel: str, deliver: Callable[[Live], None]) -> FakeInterest:
        await self._request()
        interest = FakeInterest(channel, deliver)
        self.interests.append(interest)
        return interest

    def unsubscribe(self, interest: FakeInterest) -> None:
        self.interests.remove(interest)

    async def heads(self, channels: Sequence[str]) -> dict[str, Head]:
        self.head_requests += 1
        await self._read_request()
        replica = self._replica()
        heads = {channel: replica.head(channel, self.store.epoch) for channel in channels}
        await self._latency()
        return heads

    async def read(self, channel: str, since: int, limit: int, *, at_least: int = 0) -> Page:
        self.reads += 1
        await self._read_request()
        deadline = trio.current_time() + self.deadline_s
        while (replica := self._replica()).up_to < at_least:
            if trio.current_time() >= deadline or not self.connected:
                raise BrokerUnavailable("no replica has got that far")
            await trio.sleep(0.02)
        page = replica.page(channel, since, limit, self.store.epoch)
        await self._latency()
        return page

    def tell(self, topic: str, data: bytes) -> None:
        raise NotImplementedError

    async def listen(self, topic: str, deliver: Callable[[bytes], None]) -> None:
        raise NotImplementedError

    # --- faults ---------------------------------------------------------------------------------

    def break_feed(self) -> None:
        """Cut the feed: what is on its way is gone, and every request fails until `restore_feed`."""
        if self.connected:
            self._down_since = trio.current_time()
            self._breaks += 1
            for waiting in self._queue:
                if isinstance(waiting, trio.Event):
                    waiting.set()
            self._queue.clear()
            if self.listener is not None:
                self.listener.feed_broken()

    def restore_feed(self) -> None:
        """Bring the feed back."""
        if not self.connected:
            self._down_since = None
            self._learn_epoch()
            if self.listener is not None:
                self.listener.feed_restored()

    # --- its inside -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry live copies, in order."""
        while True:
            while not self._queue:
                await self._parked.park()
            if not isinstance(self._queue[0], trio.Event):
                await trio.sleep(self._random.uniform(0, self.delay_s))
            if not self._queue:
                continue
            first = self._queue.popleft()
            if isinstance(first, trio.Event):
                first.set()
                continue
            epoch, channel, live = first
            if epoch != self.store.epoch or self._random.random() < self.drop:
                continue
            self._learn_epoch()
            for interest in [each for each in self.interests if each.channel == channel]:
                interest.deliver(live)
                if self._random.random() < self.double:
                    interest.deliver(live)

    def _send(self, channel: str, live: Live) -> None:
        if self.connected and any(interest.channel == channel for interest in self.interests):
            self._queue.append((self.store.epoch, channel, live))
            self._parked.unpark_all()

    def _learn_epoch(self) -> None:
        if self._epoch != self.store.epoch:
            self._epoch = self.store.epoch
            if self.listener is not None:
                self.listener.epoch_changed("", self._epoch)

    def _replica(self):
        self._learn_epoch()
        return self.store.replica(trio.current_time(), leader=self._random.random() >= self.lagging)

    async def _latency(self) -> None:
        await trio.sleep(self._random.uniform(0, self.latency_s))

    async def _request(self) -> None:
        await self._latency()
        if not self.connected:
            raise BrokerUnavailable("the feed is cut")
        self._learn_epoch()

    async def _read_request(self) -> None:
        await self._request()
        if self._random.random() < self.fail:
            await trio.sleep(self.deadline_s)
            raise BrokerUnavailable("no answer")
