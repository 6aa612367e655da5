"""Channel -> local subscriptions: encode once, write the same bytes to every socket.

`publish` only queues; the hub's task walks over the subscribers. So what is published to a channel
within one turn of the loop goes out as one write per client. A channel that was walked over for long
rests before the next walk, and a fan-out over many thousands gives way to other channels and other work
every `slice_s`; what its channel is given meanwhile is joined behind it. Whoever joins starts behind what was
published before, whoever left is skipped.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import trio

from node.protocol.errors import UnencodablePayload
from node.protocol.messages import Publication
from node.telemetry.metrics import Metrics

# How many writes pass between two looks at the clock: about a quarter of a millisecond.
_WRITES_PER_LOOK = 32
# A channel whose walk took so long rests as long before the next one, up to the most: what comes meanwhile is
# joined. Shorter walks cost less than the rest would delay.
_REST_MIN_S, _REST_MAX_S = 0.0005, 0.002


class Framing(Protocol):
    """How publications look on the wire for one kind of client.

    Sessions that share one Framing object share the bytes: the hub calls `publication` once per
    publication and Framing object, and writes the result to every one of them.
    """

    def publication(self, channel: str, publication: Publication) -> bytes:
        """One publication, ready for the wire.

        Raises:
            UnencodablePayload: this framing cannot carry the payload (binary data in JSON).
        """

    def join(self, frames: Sequence[bytes]) -> bytes:
        """Several frames as one write, in order; b"" for none."""


class Writable(Protocol):
    """What the hub needs of an outbox."""

    def write(self, data: bytes) -> None:
        """Send or keep; never blocks, never raises."""


class Subscriber(Protocol):
    """What the hub needs of a session."""

    def payload_unencodable(self, channel: str) -> None:
        """A publication cannot be carried by this client's protocol."""

    def subscription_lost(self, subscription: "Subscription") -> None:
        """Publications may be missing: the client must subscribe again from its position."""


class Subscription:
    """One session in one channel.

    Attributes:
        channel: the channel's name.
        subscriber: the session.
        framing: how this client's publications look; equal objects share bytes.
        outbox: the client's queue.
        tracked: the client asked for recovery or positioning: it is told when something may be missing.
        active: False once it left; a walk that began earlier skips it.
    """

    __slots__ = ("active", "channel", "framing", "outbox", "subscriber", "tracked")

    def __init__(
        self, channel: str, subscriber: Subscriber, framing: Framing, outbox: Writable, *, tracked: bool
    ) -> None:
        self.channel = channel
        self.subscriber = subscriber
        self.framing = framing
        self.outbox = outbox
        self.tracked = tracked
        self.active = True


_Groups = tuple[tuple[Framing, tuple[Subscription, ...]], ...]


@dataclass(slots=True)
class _Walk:
    """Publications on their way to the subscribers that were there when they came."""

    publications: list[Publication]
    groups: _Groups
    group: int = 0
    member: int = 0
    # What the group under way gets, and how many publications that is: fewer than all if one of them cannot
    # be carried.
    data: bytes = b""
    encoded: int = 0


@dataclass(slots=True)
class _Topic:
    """One channel with local subscribers."""

    channel: str
    members: dict[Subscription, None] = field(default_factory=dict)
    # The members by framing, as long as nobody joined or left.
    groups: _Groups | None = None
    fresh: list[Publication] = field(default_factory=list)
    # Who joined while publications were fresh, and how many of these came before it.
    late: dict[Subscription, int] = field(default_factory=dict)
    walks: deque[_Walk] = field(default_factory=deque)
    queued: bool = False
    # What the walks since the last rest took, and when the next one may begin.
    walked_s: float = 0.0
    rests_until: float = 0.0

    def rest(self) -> None:
        """Let what comes next wait, if the walks took long."""
        if self.walked_s >= _REST_MIN_S:
            self.rests_until = trio.current_time() + min(self.walked_s, _REST_MAX_S)
        self.walked_s = 0.0

    def join(self, subscription: Subscription) -> None:
        """Take a subscriber behind what is fresh."""
        self.members[subscription] = None
        self.groups = None
        if self.fresh:
            self.late[subscription] = len(self.fresh)

    def leave(self, subscription: Subscription) -> None:
        """Let a subscriber go."""
        del self.members[subscription]
        self.groups = None
        self.late.pop(subscription, None)

    def seal(self) -> None:
        """Bind the fresh publications to the subscribers of now, to each those that came after it.

        Only when no walk is under way: what comes meanwhile is joined to one write for all, or a channel
        whose walks take longer than its publications are apart would never catch up.
        """
        if not self.fresh:
            return
        self.walks.append(_Walk(self.fresh, self._snapshot()))
        late: dict[int, list[Subscription]] = {}
        for subscription, before in self.late.items():
            late.setdefault(before, []).append(subscription)
        for before, members in late.items():
            if before < len(self.fresh):
                self.walks.append(_Walk(self.fresh[before:], _grouped(members)))
        self.fresh = []
        self.late = {}

    def _snapshot(self) -> _Groups:
        if self.late:
            return _grouped(member for member in self.members if member not in self.late)
        if self.groups is None:
            self.groups = _grouped(self.members)
        return self.groups


def _grouped(members: Iterable[Subscription]) -> _Groups:
    by_framing: dict[Framing, list[Subscription]] = {}
    for member in members:
        by_framing.setdefault(member.framing, []).append(member)
    return tuple((framing, tuple(alike)) for framing, alike in by_framing.items())


class Hub:
    """The local subscriptions of a node, and the way of a publication to them.

    Args:
        metrics: what is subscribed and delivered is counted there.
        slice_s: how long one walk may hold the loop, seconds.
    """

    def __init__(self, metrics: Metrics, slice_s: float = 0.004) -> None:
        self._metrics = metrics
        self._slice_s = slice_s
        self._topics: dict[str, _Topic] = {}
        self._ready: deque[_Topic] = deque()
        # Topics with fresh publications that were walked over a moment ago.
        self._resting: list[_Topic] = []
        self._parked = trio.lowlevel.ParkingLot()

    @property
    def channels(self) -> int:
        """How many channels have a local subscriber."""
        return len(self._topics)

    def add(self, subscription: Subscription) -> None:
        """Let a subscription have what is published from now on, and nothing that came before."""
        topic = self._topics.get(subscription.channel)
        if topic is None:
            topic = self._topics[subscription.channel] = _Topic(subscription.channel)
        topic.join(subscription)
        self._metrics.subscriptions += 1

    def remove(self, subscription: Subscription) -> bool:
        """Let a subscription have nothing more; returns whether the channel has no subscriber left."""
        topic = self._topics.get(subscription.channel)
        if topic is None or subscription not in topic.members:
            return False
        subscription.active = False
        topic.leave(subscription)
        self._metrics.subscriptions -= 1
        if not topic.members:
            del self._topics[subscription.channel]
            return True
        return False

    def members(self, channel: str) -> list[Subscription]:
        """The local subscriptions of a channel."""
        topic = self._topics.get(channel)
        return list(topic.members) if topic is not None else []

    def publish(self, channel: str, publication: Publication, source: str = "live") -> None:
        """Queue a publication for the subscribers of now. Never blocks; order per channel is kept.

        Args:
            channel: where it was published.
            publication: as clients get it.
            source: how it came here, for the metric: "live" or "repair".
        """
        topic = self._topics.get(channel)
        if topic is None:
            return
        topic.fresh.append(publication)
        self._metrics.publications_out[source] += 1
        if not topic.queued:
            topic.queued = True
            resting = topic.rests_until > 0.0 and topic.rests_until > trio.current_time()
            (self._resting if resting else self._ready).append(topic)
            self._parked.unpark()

    @property
    def idle(self) -> bool:
        """Whether every queued publication has been written to every outbox."""
        return not self._ready and not self._resting

    def hasten(self) -> None:
        """Let no channel rest any longer: somebody waits until all is written."""
        self._ready += self._resting
        self._resting = []
        self._parked.unpark()

    async def run(self) -> None:
        """Walk for ever. Cancellation stops between two writes."""
        while True:
            if not self._ready:
                await self._news()
            slice_end = perf_counter() + self._slice_s
            while self._ready and perf_counter() < slice_end:
                topic = self._ready.popleft()
                if not topic.walks:
                    topic.seal()
                began = perf_counter()
                self._advance(topic, slice_end)
                topic.walked_s += perf_counter() - began
                if topic.walks or topic.fresh:
                    # Behind the others: a channel with many subscribers does not hold up small ones.
                    self._ready.append(topic)
                else:
                    topic.rest()
                    topic.queued = False
            await trio.lowlevel.checkpoint()
            self._wake()

    async def _news(self) -> None:
        """Wait until a topic is ready."""
        if not self._resting:
            await self._parked.park()
            return
        with trio.move_on_at(min(topic.rests_until for topic in self._resting)):
            await self._parked.park()
        self._wake()

    def _wake(self) -> None:
        """Have those walked over that have rested."""
        if not self._resting:
            return
        now = trio.current_time()
        self._ready += [topic for topic in self._resting if topic.rests_until <= now]
        self._resting = [topic for topic in self._resting if topic.rests_until > now]

    def _advance(self, topic: _Topic, slice_end: float) -> None:
        """Write until the topic's walks are done or the slice is over."""
        while topic.walks:
            walk = topic.walks[0]
            while walk.group < len(walk.groups):
                framing, members = walk.groups[walk.group]
                if walk.member == 0:
                    self._encode(topic.channel, walk, framing)
                if not self._write(topic.channel, walk, members, slice_end):
                    return
                walk.group += 1
                walk.member = 0
            topic.walks.popleft()

    def _encode(self, channel: str, walk: _Walk, framing: Framing) -> None:
        frames = []
        for publication in walk.publications:
            try:
                frames.append(framing.publication(channel, publication))
            except UnencodablePayload:
                break
        walk.encoded = len(frames)
        walk.data = frames[0] if len(frames) == 1 else framing.join(frames)

    def _write(self, channel: str, walk: _Walk, members: tuple[Subscription, ...], slice_end: float) -> bool:
        """Write the walk's bytes to the rest of a group; False if the slice ended before the group did."""
        data = walk.data
        start = walk.member
        absent = 0
        while walk.member < len(members):
            block = members[walk.member : walk.member + _WRITES_PER_LOOK]
            walk.member += len(block)
            if data:
                for subscription in block:
                    if subscription.active:
                        subscription.outbox.write(data)
                    else:
                        absent += 1
            if walk.encoded < len(walk.publications):
                for subscription in block:
                    if subscription.active:
                        subscription.subscriber.payload_unencodable(channel)
            if perf_counter() >= slice_end and walk.member < len(members):
                break
        written = walk.member - start - absent
        self._metrics.deliveries += written * walk.encoded
        self._metrics.bytes_out += written * len(data)
        return walk.member >= len(members)
