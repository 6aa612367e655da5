"""What a node knows of its streams, and the check it makes before it believes them.

A check looks at the stream through its leader, creates it if it is missing, and settles the epoch. It is
made before the first use, after every reconnect of the feed, and whenever something seen does not fit: a
sequence below one seen, a marker that is missing or another. Publishing and reading wait for it.

Over how many streams a namespace is spread is what the marker of its first stream says, and that is followed:
nodes with two versions of a configuration must not look for a channel in two streams.
"""

import secrets
from collections.abc import Callable, Iterable

import structlog
import trio

from node.broker.interface import BrokerRejected, BrokerUnavailable, HistoryOptions
from node.broker.nats import epoch
from node.broker.nats.epoch import Finding, Marker, Step
from node.broker.nats.jetstream import (
    STREAM_NAME_IN_USE,
    WRONG_LAST_SEQUENCE,
    JetStream,
    JetStreamError,
    StoredMessage,
    StreamInfo,
)
from node.broker.nats.patience import Patience
from node.broker.nats.streams import plan, wanted, write_marker
from node.broker.nats.subjects import Partition, Subjects
from node.config.options import NatsOptions

logger = structlog.get_logger(__name__)

# Rounds of a check that loses every compare-and-set against other nodes; two are usual, when all reconnect.
_ROUNDS_MAX = 20
# Servers answer a request for more than 1,024 heads with 413; the marker is one of them.
HEADS_PER_REQUEST = 500


class Moved(BrokerUnavailable):
    """A stream is gone; its channels have others, which can be asked at once."""


def new_marker_id() -> str:
    """A random id for a new epoch."""
    return secrets.token_hex(6)


class Stream:
    """One stream, as known.

    Attributes:
        partition: which it is; `name` and `marker_subject` follow from it.
        history: what the configuration wants kept.
        verified: the rest is believed; `doubt` ends that.
        epoch: as clients see it, "" before the first check.
        marker_id: the id of the marker behind `epoch`.
        limit: messages per channel that proofs may count on.
        max_age_s: after which the stream drops messages.
        seen: the highest sequence known to have been stored in this epoch.
        live: the sequence of the newest live copy.
        gone: its namespace is spread over fewer streams now: its channels are in others.
        portion: heads that one answer is expected to have room for.
        failure: why the last check failed, "" if it did not.
    """

    __slots__ = (
        "checking",
        "difference",
        "doubts",
        "epoch",
        "failure",
        "gone",
        "history",
        "limit",
        "live",
        "marker_id",
        "marker_subject",
        "max_age_s",
        "name",
        "partition",
        "portion",
        "seen",
        "verified",
    )

    def __init__(self, partition: Partition, subjects: Subjects, history: HistoryOptions) -> None:
        self.partition = partition
        self.name = subjects.stream(partition)
        self.marker_subject = subjects.marker(partition)
        self.history = history
        self.verified = False
        self.doubts = 0
        self.epoch = ""
        self.marker_id = ""
        self.limit = 0
        self.max_age_s = 0.0
        self.seen = 0
        self.live = 0
        self.gone = False
        self.portion = HEADS_PER_REQUEST
        self.difference = ""
        self.failure = ""
        self.checking = trio.Lock()

    def doubt(self) -> None:
        """Believe nothing of this before the next check, nor what a check under way finds."""
        self.verified = False
        self.doubts += 1


class Keeper:
    """The streams of one node.

    Args:
        jetstream: the API.
        subjects: the scheme.
        options: what a missing stream is created with.
        histories: the namespaces that keep history, with what and over how many partitions.
        epoch_changed: told the namespace and the new epoch, "" when its channels are in other streams now;
            returns at once.
        new_id: makes the random part of an epoch.

    Attributes:
        streams: by partition.
        moves: how often the channels of a namespace were found to be in other streams.
        created: streams this node created.
        checks: how often a stream was looked at.
        epoch_changes: how often an epoch known before was replaced.
    """

    def __init__(
        self,
        jetstream: JetStream,
        subjects: Subjects,
        options: NatsOptions,
        histories: Iterable[tuple[str, HistoryOptions, int]],
        epoch_changed: Callable[[str, str], None],
        new_id: Callable[[], str] = new_marker_id,
    ) -> None:
        self._jetstream = jetstream
        self._subjects = subjects
        self._options = options
        self._epoch_changed = epoch_changed
        self._new_id = new_id
        kept = list(histories)
        self._configured = {name: count for name, _, count in kept}
        self.streams = {
            (partition := Partition(name, number)): Stream(partition, subjects, history)
            for name, history, count in kept
            for number in range(count)
        }
        self.moves = 0
        self.created = self.checks = self.epoch_changes = 0

    def doubt_all(self) -> None:
        """Believe nothing before the next check."""
        for stream in self.streams.values():
            stream.doubt()

    def unusable(self) -> dict[str, str]:
        """The streams that were never checked with success, or not the last time, and why not."""
        return {
            stream.name: stream.failure or "not checked yet"
            for stream in self.streams.values()
            if stream.failure or not stream.epoch
        }

    def failed(self, stream: Stream, reason: str) -> None:
        """Take note that a check failed for good; logged once, until one succeeds."""
        if not stream.failure:
            logger.error("stream cannot be used", stream=stream.name, reason=reason)
        stream.failure = reason

    async def verify(self, stream: Stream, patience: Patience) -> None:
        """Check a stream unless it is verified; callers at the same time share one check.

        Args:
            stream: one of `streams`.
            patience: the caller's; it waits for another's check no longer than that.

        Raises:
            Moved: the stream is gone.
            BrokerUnavailable: no answer, or not in time; not tried again here.
            BrokerRejected: the stream cannot be created or used.
        """
        if stream.verified:
            return
        with trio.move_on_after(patience.left_s):
            async with stream.checking:
                if not stream.verified:
                    await self._check(stream, patience)
            return
        raise BrokerUnavailable(f"stream {stream.name} could not be checked in time")

    async def _check(self, stream: Stream, patience: Patience) -> None:
        if stream.partition.number:
            await self.verify(self.streams[Partition(stream.partition.namespace, 0)], patience)
        for _ in range(_ROUNDS_MAX):
            self.checks += 1
            # Both from before the look: what is doubted or seen meanwhile does not contradict it.
            doubts, seen = stream.doubts, stream.seen
            if stream.gone:
                raise Moved(f"the channels of stream {stream.name} are in other streams now")
            try:
                info = await self._found_or_created(stream, patience)
                stored = await self._jetstream.newest(
                    stream.name, stream.marker_subject, deadline_s=patience.question_s
                )
                if await self._spread_otherwise(stream, stored, patience):
                    continue
                marker, last = await self._settled(stream, info, stored, seen, patience)
            except JetStreamError as error:
                if error.err_code not in WRONG_LAST_SEQUENCE:
                    raise
                # Another node wrote the marker meanwhile: look again.
                continue
            self._take(stream, info, marker, last)
            stream.verified = doubts == stream.doubts
            return
        raise BrokerUnavailable(f"the marker of stream {stream.name} is written by others all the time")

    async def _found_or_created(self, stream: Stream, patience: Patience) -> StreamInfo:
        info = await self._jetstream.info(stream.name, deadline_s=patience.question_s)
        target = wanted(self._subjects, stream.partition, stream.history, self._options)
        if info is None:
            try:
                info = await self._jetstream.create(target, deadline_s=patience.left_s)
            except JetStreamError as error:
                if error.err_code != STREAM_NAME_IN_USE:
                    raise
                # A node with another configuration was faster: its stream is followed.
                info = await self._jetstream.info(stream.name, deadline_s=patience.question_s)
                if info is None:
                    raise BrokerUnavailable(
                        f"stream {stream.name} was removed while it was created"
                    ) from None
            else:
                self.created += 1
                logger.info("stream created", stream=stream.name, namespace=stream.partition.namespace)
        self._compare(stream, info, target)
        return info

    def _compare(self, stream: Stream, info: StreamInfo, target: dict[str, object]) -> None:
        config = info.config
        if not config.allow_direct or config.republish is None:
            raise BrokerRejected(
                f"stream {stream.name} has no allow_direct or no republish: run `broadcast streams apply`"
            )
        changes = plan(info.settings, target)
        difference = ", ".join(
            f"{change.setting} {change.current!r}, configured {change.wanted!r}" for change in changes
        )
        if difference and difference != stream.difference:
            logger.warning(
                "stream differs from the configuration and is followed as it is;"
                " `broadcast streams plan` explains, `broadcast streams apply` changes it",
                stream=stream.name,
                difference=difference,
            )
        stream.difference = difference

    async def _spread_otherwise(
        self, stream: Stream, stored: StoredMessage | None, patience: Patience
    ) -> bool:
        """Hear how many streams the namespace is spread over; True if it shows that this one is gone."""
        namespace, number = stream.partition
        marker = epoch.decode_marker(stored.payload) if stored else None
        count = self._subjects.partitions(namespace)
        if marker is None or marker.partitions in (0, count):
            return False
        if number == 0:
            if not marker.retired:
                self._follow(namespace, marker.partitions)
            return False
        # Only the first stream decides, and what is known of it may be old.
        first = self.streams[Partition(namespace, 0)]
        first.doubt()
        await self.verify(first, patience)
        return stream.gone

    def _follow(self, namespace: str, count: int) -> None:
        before, configured = self._subjects.partitions(namespace), self._configured[namespace]
        said = {"namespace": namespace, "partitions": count, "before": before}
        if count == configured:
            logger.info("a namespace is spread over another number of streams", **said)
        else:
            logger.warning(
                "the number of a namespace's streams differs from history_partitions and is followed;"
                " `broadcast streams plan` explains, `broadcast streams apply` changes it",
                **said,
                configured=configured,
            )
        history = self.streams[Partition(namespace, 0)].history
        self._subjects.spread(namespace, count)
        self.moves += 1
        for number in range(before, count):
            partition = Partition(namespace, number)
            self.streams[partition] = Stream(partition, self._subjects, history)
        for number in range(count, before):
            stream = self.streams.pop(Partition(namespace, number))
            stream.gone = True
            stream.doubt()
        self._epoch_changed(namespace, "")

    async def _settled(
        self, stream: Stream, info: StreamInfo, stored: StoredMessage | None, seen: int, patience: Patience
    ) -> tuple[Marker, int]:
        """The marker in force, after writing it where that was due, and the stream's last sequence."""
        config = info.config
        marker = epoch.decode_marker(stored.payload) if stored else None
        head = stored.seq if stored else 0
        last = info.state.last_seq
        age_s = (info.now_ms - stored.time_ms) / 1000 if stored else 0.0
        count = self._subjects.partitions(stream.partition.namespace)
        found = Finding(marker, age_s, config.max_age_s, config.limit, last, seen, count)
        step = epoch.decide(found)
        if marker is None or step is Step.REPLACE:
            marker = Marker(self._new_id(), config.limit, partitions=count)
            return marker, await self._write(stream, marker, head, patience)
        if step is Step.KEEP:
            return marker, last
        renewed = Marker(marker.id, min(marker.limit, config.limit), partitions=count)
        last = await self._write(stream, renewed, head, patience)
        if step is Step.PROBE and last <= seen:
            renewed = Marker(self._new_id(), config.limit, partitions=count)
            last = await self._write(stream, renewed, last, patience)
        return renewed, last

    async def _write(self, stream: Stream, marker: Marker, head: int, patience: Patience) -> int:
        return await write_marker(self._jetstream, stream.marker_subject, marker, head, patience.attempt_s)

    def _take(self, stream: Stream, info: StreamInfo, marker: Marker, last: int) -> None:
        known, now = stream.epoch, epoch.epoch_of(info.created_ms, marker)
        if stream.failure or not known:
            logger.info("stream checked", stream=stream.name, limit=info.config.limit)
        stream.failure = ""
        stream.limit = min(marker.limit, info.config.limit)
        stream.max_age_s = info.config.max_age_s
        stream.marker_id = marker.id
        if known == now:
            stream.seen = max(stream.seen, last)
            return
        stream.epoch = now
        stream.seen = last
        stream.live = 0
        if known:
            self.epoch_changes += 1
            logger.warning(
                "a stream has a new epoch: positions of before mean nothing any more",
                stream=stream.name,
                namespace=stream.partition.namespace,
            )
            self._epoch_changed(stream.partition.namespace, now)
