"""The broker without a broker: everything in this process, for tests, simulations and a node alone.

Same promises as any other (`node.broker.interface`): one sequence per namespace, the same limits, the same
proofs. What is stored dies with the process. Several nodes of one process share a `MemoryStore`.
Live messages are delivered within `publish`, so in the order of their offsets.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import trio

from node.broker.interface import (
    Head,
    HistoryOptions,
    Interest,
    Listener,
    Live,
    Message,
    NobodyAnswers,
    Page,
)
from node.broker.namespaces import Namespaces
from node.protocol.messages import StreamPosition

_EPOCH_BITS = 64


class _Stored(NamedTuple):
    live: Live
    stored_at: float


class _Channel:
    """What is stored of one channel.

    Attributes:
        messages: ascending by offset.
        removed: the highest offset that was stored and is not any more; positions below it prove nothing.
    """

    __slots__ = ("messages", "removed")

    def __init__(self, removed: int) -> None:
        self.messages: deque[_Stored] = deque()
        self.removed = removed

    @property
    def head(self) -> int:
        """The newest message's offset, 0 if nothing is stored."""
        return self.messages[-1].live.offset if self.messages else 0

    def drop_oldest(self) -> None:
        """Remove one message."""
        self.removed = self.messages.popleft().live.offset


class _Namespace:
    """One namespace's sequence and everything stored under it.

    Attributes:
        last: the highest offset given out.
        forgotten: the highest offset of channels of which nothing is stored any more.
        channels: in the order of their newest messages, so that those to be forgotten are in front.
        keys: positions by (channel, message id), oldest first, with when they were given out.
    """

    __slots__ = ("channels", "epoch", "forgotten", "history", "keys", "last")

    def __init__(self, epoch: str, history: HistoryOptions) -> None:
        self.epoch = epoch
        self.history = history
        # Not 0: that is no position, and the first channel read may be empty.
        self.last = 1
        self.forgotten = 0
        self.channels: dict[str, _Channel] = {}
        self.keys: dict[tuple[str, str], tuple[int, float]] = {}

    def expire(self, now: float, duplicate_window_s: float) -> None:
        """Forget channels without a message younger than `meta_ttl_s`, and keys older than their window."""
        while self.channels:
            name, channel = next(iter(self.channels.items()))
            if channel.messages[-1].stored_at > now - self.history.meta_ttl_s:
                break
            self.forgotten = max(self.forgotten, channel.head)
            del self.channels[name]
        while self.keys:
            key, (_, given_at) = next(iter(self.keys.items()))
            if given_at > now - duplicate_window_s:
                break
            del self.keys[key]

    def channel(self, name: str, now: float) -> _Channel:
        """A channel without its expired messages; a new one, not yet kept, if nothing is stored."""
        channel = self.channels.get(name)
        if channel is None:
            return _Channel(self.forgotten)
        while channel.messages[0].stored_at <= now - self.history.meta_ttl_s:
            channel.drop_oldest()
        return channel

    def store(self, name: str, message: Message, now: float, now_ms: int, *, tombstone: bool = False) -> Live:
        """Store a message as the next of the namespace and remove what is over the channel's limit."""
        self.last += 1
        channel = self.channel(name, now)
        live = Live(message, self.last, channel.head, now_ms, tombstone)
        channel.messages.append(_Stored(live, now))
        size = 1 if tombstone else self.history.stored
        while len(channel.messages) > size:
            channel.drop_oldest()
        self.channels.pop(name, None)
        self.channels[name] = channel
        return live

    def page(self, name: str, since: int, limit: int, now: float) -> Page:
        """Messages after `since`, and whether that is all there ever were."""
        channel = self.channel(name, now)
        messages = [stored.live for stored in channel.messages if stored.live.offset > since]
        hidden = any(live.tombstone for live in messages)
        complete = channel.removed <= since <= self.last and len(messages) <= limit and not hidden
        return Page(tuple(messages[:limit]), complete, Head(channel.head, self.last, self.epoch))


class MemoryInterest:
    """A live subscription of one broker to one channel."""

    __slots__ = ("channel", "deliver")

    def __init__(self, channel: str, deliver: Callable[[Live], None]) -> None:
        self.channel = channel
        self.deliver = deliver


class MemoryStore:
    """What the brokers of one process share: everything stored, and who listens.

    Args:
        namespaces: what is kept of which channels.
        rng: for the epochs.
        duplicate_window_s: how long a repeated message id finds the first one.
        now_ms: the clock messages are stamped by, milliseconds since 1970.
    """

    def __init__(
        self,
        namespaces: Namespaces,
        rng: random.Random,
        *,
        duplicate_window_s: float = 300.0,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.namespaces = namespaces
        self.interests: dict[str, list[MemoryInterest]] = {}
        self.topics: dict[str, list[Callable[[bytes], None]]] = {}
        self.answering: dict[str, Callable[[bytes], bytes]] = {}
        self._now_ms = now_ms
        self._duplicate_window_s = duplicate_window_s
        self._stored = {
            name: _Namespace(f"{rng.getrandbits(_EPOCH_BITS):016x}", history)
            for name, history, _ in namespaces.histories()
        }

    def namespace_of(self, channel: str) -> _Namespace:
        """Where a channel is stored, without what has expired by now.

        Raises:
            BrokerRejected: the channel keeps no history.
        """
        self.namespaces.history_of(channel)
        namespace = self._stored[self.namespaces.name_of(channel)]
        namespace.expire(trio.current_time(), self._duplicate_window_s)
        return namespace

    def store(
        self, channel: str, message: Message, message_id: str = "", *, tombstone: bool = False
    ) -> tuple[Live | None, StreamPosition]:
        """Store a message; the position alone if its id was used within the window."""
        namespace = self.namespace_of(channel)
        now = trio.current_time()
        if message_id and (known := namespace.keys.get((channel, message_id))):
            return None, StreamPosition(known[0], namespace.epoch)
        live = namespace.store(channel, message, now, self._now_ms(), tombstone=tombstone)
        if message_id:
            namespace.keys[channel, message_id] = live.offset, now
        return live, StreamPosition(live.offset, namespace.epoch)

    def deliver(self, channel: str, live: Live) -> None:
        """Hand a message to everybody who listens now."""
        for interest in tuple(self.interests.get(channel, ())):
            interest.deliver(live)


class MemoryBroker:
    """One node's broker over a store in memory; see `node.broker.interface.Broker`.

    Args:
        store: shared with other nodes of this process, if there are any.

    Attributes:
        duplicates: publishes answered with the position of an earlier one.
        reads: calls of `heads` and `read`.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.duplicates = self.reads = 0

    @property
    def connected(self) -> bool:
        """Always: there is nothing to be cut from."""
        return True

    @property
    def disconnected_for_s(self) -> float:
        """Always 0.0."""
        return 0.0

    async def run(
        self,
        listener: Listener,  # noqa: ARG002 - nothing ever happens to this feed
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Do nothing until cancelled, as there is nothing to keep alive."""
        task_status.started()
        await trio.sleep_forever()

    @property
    def outbox_bytes(self) -> int:
        """Always 0."""
        return 0

    def unusable(self) -> dict[str, str]:
        """Always nothing."""
        return {}

    def counters(self) -> dict[str, int]:
        """See `Broker.counters`; what cannot happen here is not counted."""
        return {"broker_duplicates": self.duplicates, "broker_reads": self.reads}

    async def flush(self) -> None:
        """Everything is where it goes already."""
        await trio.lowlevel.checkpoint()

    async def publish(
        self,
        channel: str,
        message: Message,
        history: HistoryOptions | None = None,
        message_id: str = "",
    ) -> StreamPosition | None:
        """Publish; see `Broker.publish`. Without history a message id has no effect."""
        await trio.lowlevel.checkpoint()
        if history is None:
            self._store.deliver(channel, Live(message))
            return None
        live, position = self._store.store(channel, message, message_id)
        if live is None:
            self.duplicates += 1
        else:
            self._store.deliver(channel, live)
        return position

    async def subscribe(self, channel: str, deliver: Callable[[Live], None]) -> MemoryInterest:
        """Ask for live messages; see `Broker.subscribe`."""
        await trio.lowlevel.checkpoint()
        interest = MemoryInterest(channel, deliver)
        self._store.interests.setdefault(channel, []).append(interest)
        return interest

    def unsubscribe(self, interest: Interest) -> None:
        """Give an interest back; a second time does nothing."""
        if not isinstance(interest, MemoryInterest):
            raise TypeError("an interest goes back to the broker it came from")
        interests = self._store.interests.get(interest.channel, [])
        if interest in interests:
            interests.remove(interest)
            if not interests:
                del self._store.interests[interest.channel]

    async def heads(self, channels: Sequence[str]) -> dict[str, Head]:
        """The heads of many channels; see `Broker.heads`."""
        await trio.lowlevel.checkpoint()
        self.reads += 1
        now = trio.current_time()
        found = {}
        for channel in channels:
            namespace = self._store.namespace_of(channel)
            found[channel] = Head(namespace.channel(channel, now).head, namespace.last, namespace.epoch)
        return found

    async def read(self, channel: str, since: int, limit: int, *, at_least: int = 0) -> Page:  # noqa: ARG002 - nothing lags here
        """Stored messages after `since`; see `Broker.read`."""
        await trio.lowlevel.checkpoint()
        self.reads += 1
        return self._store.namespace_of(channel).page(channel, since, limit, trio.current_time())

    async def remove_history(self, channel: str) -> StreamPosition:
        """Remove what is stored and leave a tombstone; see `Broker.remove_history`."""
        await trio.lowlevel.checkpoint()
        live, position = self._store.store(channel, Message(b""), tombstone=True)
        if live is not None:
            self._store.deliver(channel, live)
        return position

    def tell(self, topic: str, data: bytes) -> None:
        """Send to every node that listens to `topic`."""
        for deliver in tuple(self._store.topics.get(topic, ())):
            deliver(data)

    async def listen(self, topic: str, deliver: Callable[[bytes], None]) -> None:
        """Hear what is told `topic` from now on."""
        await trio.lowlevel.checkpoint()
        self._store.topics.setdefault(topic, []).append(deliver)

    async def ask(self, topic: str, data: bytes) -> bytes:
        """Ask the node that answers `topic`; see `Broker.ask`."""
        await trio.lowlevel.checkpoint()
        serve = self._store.answering.get(topic)
        if serve is None:
            raise NobodyAnswers(f"nobody answers {topic}")
        return serve(data)

    async def answer(self, topic: str, serve: Callable[[bytes], bytes]) -> None:
        """Answer what is asked of `topic` from now on."""
        await trio.lowlevel.checkpoint()
        self._store.answering[topic] = serve
