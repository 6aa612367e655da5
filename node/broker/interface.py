"""What a broker promises to a node. One small module per implementation: `memory`, `nats/`.

A broker carries publications between nodes and stores them where a channel keeps history. It knows
subjects, streams and storage; it does not know sessions, tails or recovery (`node/history` does), and
it never waits for a client.

Promises, for every implementation (tests/contracts/broker.py runs against each):

* **Order.** Live messages of one channel arrive in the order the store gave them offsets. A live copy
  can be missing or doubled; `Live.previous` shows it. Plain messages (offset 0) arrive at most once, those
  of one publisher over one node in order.
* **Acceptance.** `publish` with `history` returns only when the message is stored; a retry with the same
  `message_id` returns the first one's position. Without `history` it returns once handed over.
* **Interest.** When `subscribe` returns, every message published from then on has a live copy on its
  way to `deliver`, save for what the store's own replication may drop (see `node/history`).
* **Proof.** `Page.complete` is true only if nothing that was stored in the channel after `since` has
  been removed: it is never a guess.
* **Epoch.** Offsets mean something only within one epoch. A store that lost or restarted its sequence
  has a new epoch before anything is read from or stored in it through this interface.
* **Failure.** Every call ends by its deadline: BrokerUnavailable (cannot be reached; the message may or
  may not be stored) or BrokerRejected (it answered no). Nothing is retried for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import trio

from node.protocol.messages import ClientInfo, StreamPosition


class BrokerError(Exception):
    """Root of what a broker raises."""


class BrokerUnavailable(BrokerError):
    """The broker could not be reached, or did not answer, within the deadline."""


class NobodyAnswers(BrokerUnavailable):
    """The broker was reached, and there is nobody who answers what was asked."""


class Unanswered(BrokerUnavailable):
    """Asked, and not answered within the deadline: what it was asked behind may still come."""


class BrokerRejected(BrokerError):
    """The broker answered that it will not do this (limits, permissions, missing stream)."""


class MessageTooLarge(BrokerRejected):
    """The message is longer than the broker carries; publishing it again will not help."""


class Message(NamedTuple):
    """What travels: a publication's payload and its attributes.

    Attributes:
        data: the payload, opaque bytes; JSON for nearly everybody.
        info: who published it, for publications by clients.
        tags: the publisher's labels.
    """

    data: bytes
    info: ClientInfo | None = None
    tags: dict[str, str] | None = None


class Live(NamedTuple):
    """A message as the feed brings it.

    Attributes:
        message: payload and attributes; `message.data` is empty for a tombstone.
        offset: the store's sequence, 0 for a plain message.
        previous: offset of the channel's message stored before this one, 0 if none is stored any more.
        time_ms: when it was stored, milliseconds since 1970; 0 for a plain message.
        tombstone: history was removed here; the position advances, nothing is delivered.
    """

    message: Message
    offset: int = 0
    previous: int = 0
    time_ms: int = 0
    tombstone: bool = False


class Head(NamedTuple):
    """The newest stored message of a channel, and how far that statement is true.

    Attributes:
        offset: its sequence (a tombstone counts), 0 if nothing is stored.
        up_to: the store's sequence this read is true for; the position of an empty channel.
        epoch: of the stream.
    """

    offset: int
    up_to: int
    epoch: str


class Page(NamedTuple):
    """Stored messages of one channel, and what they prove.

    Attributes:
        messages: ascending by offset, all with offset > since; a tombstone is kept and hides what is
            below it.
        complete: nothing stored in the channel after `since` and up to `head` is missing from
            `messages`, whatever was removed since; false also if a tombstone lies above `since`, or if
            `limit` cut the page.
        head: the channel's head this page is true for.
    """

    messages: tuple[Live, ...]
    complete: bool
    head: Head


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """How much of a channel is kept.

    Attributes:
        size: publications kept per channel, > 0.
        ttl_s: how long readers see them, seconds; the store itself keeps them for `meta_ttl_s`.
        meta_ttl_s: how long positions stay meaningful, seconds, >= ttl_s.
    """

    size: int
    ttl_s: float
    meta_ttl_s: float

    @property
    def stored(self) -> int:
        """Messages the store keeps per channel.

        The newest one is what an up-to-date client has: with one more than `size`, a client that missed
        exactly `size` publications can still prove that it has them all.
        """
        return self.size + 1


class Listener(Protocol):
    """Who is told what happens to the whole feed. Called from the feed: every method returns at once."""

    def feed_broken(self) -> None:
        """The feed is cut: live messages may be missing from now on."""

    def feed_restored(self) -> None:
        """The feed is back and every interest is in force again: compare heads now."""

    def heads_suspect(self) -> None:
        """Live copies may have been dropped while the feed stood (a leader changed): compare heads."""

    def epoch_changed(self, namespace: str, epoch: str) -> None:
        """A namespace's stream lost its sequence: no position of another epoch means anything.

        An empty epoch: its channels are in other streams now, and no position means anything.
        """


class Interest(Protocol):
    """A live subscription of this node to one channel; hand it back to `unsubscribe`."""

    channel: str


class Broker(Protocol):
    """Carries and stores publications. See the module's promises.

    Every coroutine may be cancelled: a cancelled `publish` may or may not be stored, a cancelled
    `subscribe` leaves no interest behind, reads have no effect.
    """

    async def run(
        self, listener: Listener, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Carry messages until cancelled; started at once, not when connected.

        Args:
            listener: told what happens to the feed.
            task_status: of `nursery.start`.
        """

    @property
    def connected(self) -> bool:
        """Whether the feed stands now."""

    @property
    def disconnected_for_s(self) -> float:
        """Seconds since the feed broke or was never made, 0.0 while it stands."""

    @property
    def outbox_bytes(self) -> int:
        """Bytes waiting to be sent."""

    def unusable(self) -> dict[str, str]:
        """The stores of history that nothing can be stored in or read from now, by name, and why not."""

    def counters(self) -> dict[str, int]:
        """What this broker has counted, by the names of its metrics: see telemetry.series.BROKER_COUNTERS."""

    async def flush(self) -> None:
        """Return when everything handed over so far has reached the broker.

        By then all live messages that this node's server had before are delivered, too.

        Raises:
            Unanswered: no answer in time.
            BrokerUnavailable: not connected, or cut off meanwhile: nothing older will be delivered.
        """

    async def publish(
        self,
        channel: str,
        message: Message,
        history: HistoryOptions | None = None,
        message_id: str = "",
    ) -> StreamPosition | None:
        """Publish, and store where `history` is given; returns the position then.

        Args:
            channel: any legal channel name, namespace included.
            message: payload and attributes.
            history: None for a plain message (also on channels that keep history: `skip_history`).
            message_id: idempotency key within this channel, "" for none.
        """

    async def subscribe(self, channel: str, deliver: Callable[[Live], None]) -> Interest:
        """Ask for live messages; `deliver` is called from the feed, must not block and must not raise."""

    def unsubscribe(self, interest: Interest) -> None:
        """Give an interest back; `deliver` is not called again. Never blocks."""

    async def heads(self, channels: Sequence[str]) -> dict[str, Head]:
        """The heads of many channels that keep history, in as few requests as possible."""

    async def read(self, channel: str, since: int, limit: int, *, at_least: int = 0) -> Page:
        """Stored messages after `since`.

        Args:
            channel: a channel that keeps history.
            since: exclusive; 0 reads from the first stored one.
            limit: messages at most; the page is not complete when more were stored.
            at_least: an offset the store is known to have reached: an answer of a replica that has not
                is asked again until it does or the deadline passes (then BrokerUnavailable).
        """

    async def remove_history(self, channel: str) -> StreamPosition:
        """Remove what is stored and leave a tombstone, whose position is returned."""

    def tell(self, topic: str, data: bytes) -> None:
        """Send to every node that listens to `topic`, at most once; dropped while the feed is cut."""

    async def listen(self, topic: str, deliver: Callable[[bytes], None]) -> None:
        """Hear what nodes (this one included) tell `topic` from now on; kept across reconnects."""

    async def ask(self, topic: str, data: bytes) -> bytes:
        """Ask the node that answers `topic`, this one included, and return its answer; never asked twice.

        Args:
            topic: one that a single node answers, and to which nothing is told.
            data: the question.

        Raises:
            NobodyAnswers: there is no such node.
            BrokerUnavailable: the question may or may not have been heard.
            MessageTooLarge: it was not sent.
        """

    async def answer(self, topic: str, serve: Callable[[bytes], bytes]) -> None:
        """Answer what is asked of `topic` from now on; kept across reconnects.

        Args:
            topic: see `ask`.
            serve: called from the feed with each question: returns the answer at once and does not raise.
        """
