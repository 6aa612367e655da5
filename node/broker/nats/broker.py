"""The broker on NATS: publications travel over the feed and are stored in JetStream streams.

Ties together what the modules beside it do: `feed` is the connection, `subjects` and `envelope` say how a
publication looks, `keeper` knows the streams and their epochs, `reads` asks for what is stored.
"""

import contextlib
import random
import secrets
import time
from collections.abc import Callable, Sequence

import structlog
import trio

from node.broker.interface import (
    BrokerUnavailable,
    Head,
    HistoryOptions,
    Interest,
    Listener,
    Live,
    Message,
    Page,
)
from node.broker.namespaces import Namespaces
from node.broker.nats.budget import Budget
from node.broker.nats.envelope import Decoder, encode_headers, encode_tombstone, random_message_id
from node.broker.nats.envelope import (
    message_id as key_message_id,
)
from node.broker.nats.feed import Feed
from node.broker.nats.jetstream import WRONG_LAST_SEQUENCE, Ack, JetStream, JetStreamError, parse_ack
from node.broker.nats.keeper import Keeper, Moved, Stream
from node.broker.nats.patience import Patience
from node.broker.nats.protocol import Msg
from node.broker.nats.reads import Reader
from node.broker.nats.subjects import Subjects
from node.broker.nats.subscription import Subscription
from node.broker.nats.watch import Watch
from node.config.options import NatsOptions
from node.protocol.messages import StreamPosition

logger = structlog.get_logger(__name__)


class NatsInterest(Subscription):
    """A live subscription to one channel."""

    __slots__ = ("_broker", "_deliver", "_stream", "channel")

    def __init__(
        self,
        broker: "NatsBroker",
        channel: str,
        subject: str,
        stream: Stream | None,
        deliver: Callable[[Live], None],
    ) -> None:
        super().__init__(subject)
        self._broker = broker
        self._stream = stream
        self._deliver = deliver
        self.channel = channel

    def move(self, subject: str, stream: Stream | None) -> None:
        """Belong to another stream from now on; no feed may have it meanwhile."""
        self.subject = subject
        self._stream = stream

    def deliver(self, msg: Msg) -> None:
        """Hand a message of the feed on."""
        live = self._broker.decoder.decode(msg.headers, msg.payload)
        if live.offset and self._stream is not None:
            self._broker.note_live(self._stream, live.offset)
        self._deliver(live)


class NatsBroker:
    """A node's broker over NATS and JetStream; see `node.broker.interface.Broker` for the promises.

    Args:
        options: `broker.nats`.
        namespaces: what is kept of which channels.
        name: what the servers show for this node's connection.
        rng: for tests; the system's randomness if None.
        now_ms: the clock ages are judged by, milliseconds since 1970.

    Attributes:
        feed: the connection, with counters of its own.
        keeper: the streams, with counters of its own (`created`, `checks`, `epoch_changes`).
        decoder: counts `undecodable` headers.
        retries: tries of a publish after the first.
        duplicates: publishes answered with the position of an earlier one.
    """

    def __init__(
        self,
        options: NatsOptions,
        namespaces: Namespaces,
        *,
        name: str,
        rng: random.Random | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._namespaces = namespaces
        self._deadline_s = float(options.request_deadline_s)
        self._subjects = Subjects(options.prefix, namespaces)
        self.feed = Feed(options, name=name, on_broken=self._broken, on_restored=self._restored, rng=rng)
        self._jetstream = JetStream(self.feed)
        self.decoder = Decoder()
        self.keeper = Keeper(
            self._jetstream, self._subjects, options, namespaces.histories(), self._epoch_changed
        )
        self._reader = Reader(
            self._jetstream,
            self._subjects,
            self.keeper,
            self.decoder,
            Budget(options.reads_bytes_max, lambda: self.feed.server_info.max_payload),
            deadline_s=self._deadline_s,
            now_ms=now_ms,
        )
        self._origin = secrets.token_hex(8)
        self._messages = 0
        self._watch = Watch(
            self.feed,
            self.keeper,
            deadline_s=self._deadline_s,
            heads_suspect=self._heads_suspect,
        )
        self.retries = self.duplicates = 0

    @property
    def connected(self) -> bool:
        """Whether the feed stands now."""
        return self.feed.connected

    @property
    def disconnected_for_s(self) -> float:
        """Seconds since the feed broke or was never made, 0.0 while it stands."""
        return self.feed.disconnected_for_s

    async def run(
        self, listener: Listener, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Carry messages until cancelled: a task of its own. Started at once, not when connected."""
        self._listener = listener
        self._watch.listen()
        async with trio.open_nursery() as nursery:
            await nursery.start(self.feed.run)
            nursery.start_soon(self._watch.run)
            task_status.started()

    @property
    def outbox_bytes(self) -> int:
        """Bytes waiting to be sent to NATS."""
        return self.feed.outbox_bytes

    def unusable(self) -> dict[str, str]:
        """The streams that cannot be used now, and why not."""
        return self.keeper.unusable()

    def counters(self) -> dict[str, int]:
        """See `Broker.counters`."""
        return {
            **self.feed.counters(),
            "broker_publish_retries": self.retries,
            "broker_duplicates": self.duplicates,
            "broker_reads": self._reader.reads,
            "broker_reads_repeated": self._reader.repeated,
            "broker_epoch_changes": self.keeper.epoch_changes,
            "broker_undecodable_headers": self.decoder.undecodable,
        }

    async def flush(self) -> None:
        """See `Broker.flush`."""
        await self.feed.flush(self._deadline_s)

    async def publish(
        self,
        channel: str,
        message: Message,
        history: HistoryOptions | None = None,
        message_id: str = "",
    ) -> StreamPosition | None:
        """Publish; see `Broker.publish`. Without history a message id has no effect."""
        if history is None:
            self.feed.publish(self._subjects.live(channel), message.data, encode_headers(message))
            return None
        nats_message_id = key_message_id(channel, message_id) if message_id else self._random_message_id()
        headers = encode_headers(message, nats_message_id)
        stream, ack = await self._store(channel, message.data, headers)
        self.duplicates += ack.duplicate
        return StreamPosition(ack.seq, stream.epoch)

    async def subscribe(self, channel: str, deliver: Callable[[Live], None]) -> NatsInterest:
        """Ask for live messages; see `Broker.subscribe`."""
        stream = self.keeper.streams.get(self._subjects.partition_of(channel))
        interest = NatsInterest(self, channel, self._subjects.live(channel), stream, deliver)
        patience = Patience(self._deadline_s)
        self.feed.add(interest)
        try:
            while True:
                try:
                    # A feed that was restored meanwhile has every subscription in force.
                    await self.feed.wait_connected(patience.left_s)
                    await self.feed.flush(patience.left_s)
                except BrokerUnavailable as error:
                    await patience.pause(str(error))
                else:
                    return interest
        except BaseException:
            self.feed.unsubscribe(interest)
            raise

    def unsubscribe(self, interest: Interest) -> None:
        """Give an interest back; a second time does nothing."""
        if not isinstance(interest, NatsInterest):
            raise TypeError("an interest goes back to the broker it came from")
        if interest.sid:
            self.feed.unsubscribe(interest)

    async def heads(self, channels: Sequence[str]) -> dict[str, Head]:
        """The heads of many channels; see `Broker.heads`."""
        while True:
            moves = self.keeper.moves
            by_stream: dict[Stream, list[str]] = {}
            for channel in channels:
                by_stream.setdefault(self._stream_of(channel), []).append(channel)
            with contextlib.suppress(Moved):
                heads = await self._reader.heads(list(by_stream.items()))
                if moves == self.keeper.moves:
                    return heads

    async def read(self, channel: str, since: int, limit: int, *, at_least: int = 0) -> Page:
        """Stored messages after `since`; see `Broker.read`."""
        while True:
            moves = self.keeper.moves
            with contextlib.suppress(Moved):
                page = await self._reader.read(self._stream_of(channel), channel, since, limit, at_least)
                if moves == self.keeper.moves:
                    return page
            # It was reached in a stream that the channel is in no more.
            at_least = 0

    async def remove_history(self, channel: str) -> StreamPosition:
        """Remove what is stored and leave a tombstone; see `Broker.remove_history`.

        The tombstone is stored first and what is below it is purged then: a read between the two finds it
        and is not complete. Compare-and-set on the head keeps it above everything that is removed.
        """
        patience = Patience(self._deadline_s)
        head = (await self.heads((channel,)))[channel]
        while True:
            headers = encode_tombstone(self._random_message_id(), head.offset)
            try:
                stream, ack = await self._store(channel, b"", headers)
                break
            except JetStreamError as error:
                if error.err_code not in WRONG_LAST_SEQUENCE:
                    raise
                # Something was published meanwhile, or an answer was lost and this tombstone is the head.
                await patience.pause(str(error))
                head = (await self.heads((channel,)))[channel]
        subject = self._subjects.store(channel)
        while True:
            try:
                await self._jetstream.purge(stream.name, subject, ack.seq, deadline_s=patience.attempt_s)
                break
            except BrokerUnavailable as error:
                await patience.pause(str(error))
        return StreamPosition(ack.seq, stream.epoch)

    def tell(self, topic: str, data: bytes) -> None:
        """Send to every node that listens to `topic`; dropped while the feed is cut."""
        try:
            self.feed.publish(self._subjects.node(topic), data)
        except BrokerUnavailable:
            # At most once is all that was promised; the feed counts what it refuses.
            logger.debug("not told", topic=topic)

    async def listen(self, topic: str, deliver: Callable[[bytes], None]) -> None:
        """Hear what is told `topic` from now on; kept across reconnects."""
        await self._hear(topic, lambda msg: deliver(msg.payload))

    async def ask(self, topic: str, data: bytes) -> bytes:
        """Ask the node that answers `topic`; see `Broker.ask`."""
        answer = await self.feed.request(self._subjects.node(topic), data, deadline_s=self._deadline_s)
        return answer.payload

    async def answer(self, topic: str, serve: Callable[[bytes], bytes]) -> None:
        """Answer what is asked of `topic` from now on; see `Broker.answer`."""

        def receive(msg: Msg) -> None:
            answer = serve(msg.payload)
            # Who asked hears nothing then, and gives up at its deadline; the feed counts what it refuses.
            with contextlib.suppress(BrokerUnavailable):
                if msg.reply:
                    self.feed.publish(msg.reply.decode(), answer)

        await self._hear(topic, receive)

    async def _hear(self, topic: str, receive: Callable[[Msg], None]) -> None:
        self.feed.subscribe(self._subjects.node(topic), receive)
        if self.feed.connected:
            # A feed that breaks now has every subscription in force when it is back.
            with contextlib.suppress(BrokerUnavailable):
                await self.feed.flush(self._deadline_s)

    def note_live(self, stream: Stream, offset: int) -> None:
        """Look at a live copy's sequence: one below the last may mean that sequences started again."""
        if offset < stream.live:
            self._watch.doubt(stream)
        elif offset > stream.seen:
            stream.seen = offset
        stream.live = offset

    async def _store(self, channel: str, payload: bytes, headers: bytes) -> tuple[Stream, Ack]:
        """Publish to a channel's stream until it is stored, always with the same message id."""
        patience = Patience(self._deadline_s)
        moves, stream = self.keeper.moves, self._stream_of(channel)
        if not stream.verified:
            stream = await self._verified(channel, patience)
        seen, epoch = stream.seen, stream.epoch
        while True:
            try:
                answer = await self.feed.request(
                    self._subjects.store(channel), payload, headers, deadline_s=patience.attempt_s
                )
                ack = parse_ack(answer)
                break
            except BrokerUnavailable as error:
                self.retries += 1
                self._watch.doubt(stream)
                await patience.pause(str(error))
                before, stream = stream, await self._verified(channel, patience)
                if stream is not before:
                    seen, epoch = stream.seen, stream.epoch
        if self.keeper.moves != moves and self._stream_of(channel) is not stream:
            # Stored where nobody looks for this channel any more.
            return await self._store(channel, payload, headers)
        if ack.seq > seen:
            if ack.seq > stream.seen and stream.epoch == epoch:
                stream.seen = ack.seq
        elif not ack.duplicate and stream.epoch == epoch:
            # What was stored after a sequence was seen has a higher one, unless the stream lost it.
            stream.doubt()
            await self._verified(channel, patience)
        return stream, ack

    async def _verified(self, channel: str, patience: Patience) -> Stream:
        """A channel's stream, looked at."""
        while True:
            stream = self._stream_of(channel)
            try:
                await self.keeper.verify(stream, patience)
            except BrokerUnavailable as error:
                await patience.pause(str(error))
            else:
                if self._stream_of(channel) is stream:
                    return stream

    def _stream_of(self, channel: str) -> Stream:
        stream = self.keeper.streams.get(self._subjects.partition_of(channel))
        if stream is None:
            self._namespaces.history_of(channel)
            raise AssertionError("a namespace with history has its streams")
        return stream

    def _random_message_id(self) -> bytes:
        self._messages += 1
        return random_message_id(self._origin, self._messages)

    def _epoch_changed(self, namespace: str, epoch: str) -> None:
        if not epoch:
            self._move(namespace)
        self._listener.epoch_changed(namespace, epoch)

    def _move(self, namespace: str) -> None:
        """Ask for a namespace's live messages where its channels are now."""
        self._watch.listen()
        for interest in self.feed.subscriptions:
            if isinstance(interest, NatsInterest) and self._namespaces.name_of(interest.channel) == namespace:
                self.feed.unsubscribe(interest)
                interest.move(self._subjects.live(interest.channel), self._stream_of(interest.channel))
                self.feed.add(interest)

    def _heads_suspect(self) -> None:
        self._listener.heads_suspect()

    def _broken(self) -> None:
        self._listener.feed_broken()

    def _restored(self) -> None:
        self._watch.doubt_all()
        self._listener.feed_restored()
