"""Reads by direct get: heads of many channels, and pages of one with what they prove (see `proofs`).

Direct gets are answered by any replica of a stream, also by one that lags. Every request for heads asks
for the stream's marker too: its answer then always says up to which sequence it is true, and in which
epoch. A read repeats until it has reached everything this node knows to be stored.

An answer that would be too large is cut by the server, which says how many messages it left out
(`Nats-Num-Pending`): heads are asked for again in smaller portions, a page goes on behind its last message.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import trio

from node.broker.interface import BrokerError, BrokerRejected, BrokerUnavailable, Head, Live, Page
from node.broker.nats import proofs
from node.broker.nats.budget import ANSWER_BYTES, ANSWER_MESSAGES, Budget
from node.broker.nats.envelope import Decoder, server_number, server_value, time_ms
from node.broker.nats.epoch import decode_marker
from node.broker.nats.jetstream import JetStream
from node.broker.nats.keeper import HEADS_PER_REQUEST, Keeper, Moved, Stream
from node.broker.nats.patience import Patience
from node.broker.nats.proofs import Batch, Marked
from node.broker.nats.protocol import Msg
from node.broker.nats.subjects import Subjects

_END_OF_BATCH = 204
_NOT_FOUND = 404
_PENDING = b"Nats-Num-Pending"
# A stream that does not reach a sequence seen before by then has lost it, or a replica is far behind.
_TRIES_BEFORE_DOUBT = 5
_TRIES_OF_A_MOVING_CHANNEL = 3


class _Cut(Exception):
    """An answer with heads was cut: which ones are missing it does not say."""


class Reader:
    """Reads of one node.

    Args:
        jetstream: the API.
        subjects: the scheme.
        keeper: the streams; a read verifies the one it needs.
        decoder: for stored messages.
        budget: gives direct gets their turns.
        deadline_s: how long one read may take, repeats included, seconds.
        now_ms: the clock messages' ages are judged by, milliseconds since 1970.

    Attributes:
        reads: calls of `heads` and `read`.
        repeated: answers that were not good enough and were asked for again.
    """

    def __init__(
        self,
        jetstream: JetStream,
        subjects: Subjects,
        keeper: Keeper,
        decoder: Decoder,
        budget: Budget,
        *,
        deadline_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._jetstream = jetstream
        self._subjects = subjects
        self._keeper = keeper
        self._decode = decoder.decode
        self._budget = budget
        self._deadline_s = deadline_s
        self._now_ms = now_ms
        self.reads = self.repeated = 0

    async def heads(self, by_stream: Sequence[tuple[Stream, Sequence[str]]]) -> dict[str, Head]:
        """The heads of channels, streams at the same time.

        Args:
            by_stream: the channels of each stream.

        Raises:
            Moved: one of the streams is gone.
            BrokerUnavailable: one of the streams did not answer in time.
            BrokerRejected: one of them will not.
        """
        self.reads += 1
        found: dict[str, Head] = {}
        failures: list[BrokerError] = []

        async def read_one(stream: Stream, channels: Sequence[str]) -> None:
            try:
                done = 0
                while done < len(channels):
                    portion = channels[done : done + stream.portion]
                    try:
                        heads, _ = await self._heads(stream, portion, Patience(self._deadline_s))
                    except _Cut:
                        stream.portion = len(portion) // 2
                        continue
                    found.update(heads)
                    done += len(portion)
                    # Messages may have become smaller again.
                    stream.portion = min(HEADS_PER_REQUEST, stream.portion + stream.portion // 4 + 1)
            except BrokerError as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for stream, channels in by_stream:
                nursery.start_soon(read_one, stream, channels)
        if failures:
            raise failures[0]
        return found

    async def read(self, stream: Stream, channel: str, since: int, limit: int, at_least: int = 0) -> Page:
        """A page of one channel; see `Broker.read`.

        Raises:
            Moved: the stream is gone.
        """
        self.reads += 1
        patience = Patience(self._deadline_s)
        moving = 0
        asked_leader = False
        while True:
            heads, marked = await self._heads(stream, (channel,), patience, at_least)
            head = heads[channel]
            if since > head.up_to and not asked_leader:
                # A replica that lags, or a position of nowhere: the leader knows how far the stream goes.
                asked_leader = await self._asked_leader(stream, patience)
                if not asked_leader or stream.seen > head.up_to:
                    self.repeated += 1
                    await patience.pause(
                        f"{stream.name}: no replica known to have reached {since} or its end"
                    )
                    continue
            if head.offset <= since:
                nothing_aged = head.offset > 0 or await self._nothing_aged(stream, since, marked, patience)
                return proofs.nothing_above(since, head, nothing_aged=nothing_aged)
            batch = await self._batch(stream, channel, max(since, 1), limit + 1, patience)
            if proofs.reaches(batch, since, head):
                moved = proofs.changed_while_read(batch, since, stream.limit)
                moving += moved
                if not moved or moving > _TRIES_OF_A_MOVING_CHANNEL:
                    nothing_aged = proofs.needs_age_evidence(
                        batch, since, stream.limit
                    ) and await self._nothing_aged(stream, since, marked, patience)
                    if stream.verified and head.epoch == stream.epoch:
                        return proofs.make_page(
                            batch, since, head, asked=limit, limit=stream.limit, nothing_aged=nothing_aged
                        )
            self.repeated += 1
            await patience.pause(f"{stream.name}: no replica answered consistently")

    async def _heads(
        self, stream: Stream, channels: Sequence[str], patience: Patience, at_least: int = 0
    ) -> tuple[dict[str, Head], Marked]:
        subjects = {self._subjects.store(channel).encode(): channel for channel in channels}
        query: dict[str, object] = {
            "multi_last": [subject.decode() for subject in subjects] + [stream.marker_subject]
        }
        if len(channels) > 1:
            query["max_bytes"] = ANSWER_BYTES
        epoch, floor, tries = "", 0, 0
        while True:
            tries += 1
            try:
                await self._keeper.verify(stream, patience)
                if stream.epoch != epoch:
                    # What this node knows to be stored must be in the answer; what is stored meanwhile need
                    # not. Sequences of another epoch mean nothing here: `at_least` is of the first one.
                    floor = stream.seen if epoch else max(at_least, stream.seen)
                    epoch = stream.epoch
                answer = await self._direct(stream, query, patience)
                found = self._heads_of(stream, subjects, answer)
            except Moved:
                raise
            except BrokerUnavailable as error:
                reason = str(error)
                stream.doubt()
            else:
                if found is None:
                    reason = f"{stream.name}: its marker is missing or new"
                    stream.doubt()
                elif found[1] >= floor:
                    offsets, up_to, marked = found
                    stream.seen = max(stream.seen, up_to)
                    return {name: Head(offsets.get(name, 0), up_to, epoch) for name in channels}, marked
                else:
                    reason = f"{stream.name}: only sequence {found[1]} reached, not {floor}"
                    if tries == _TRIES_BEFORE_DOUBT:
                        stream.doubt()
            self.repeated += 1
            await patience.pause(reason)

    def _heads_of(
        self, stream: Stream, subjects: dict[bytes, str], answer: list[Msg]
    ) -> tuple[dict[str, int], int, Marked] | None:
        """Offsets by channel, how far they are true, and the marker; None without the marker known."""
        end = answer[-1]
        if end.status == _NOT_FOUND:
            return None
        if end.status != _END_OF_BATCH:
            raise BrokerRejected(f"{stream.name}: heads were refused: {end.status} {end.status_text}")
        if len(subjects) > 1 and server_number(end.headers, _PENDING):
            raise _Cut
        marked = None
        offsets = {}
        for msg in answer[:-1]:
            sequence = server_number(msg.headers, b"Nats-Sequence")
            channel = subjects.get(server_value(msg.headers, b"Nats-Subject"))
            if channel is not None:
                offsets[channel] = sequence
                continue
            marker = decode_marker(msg.payload)
            if marker is not None and marker.id == stream.marker_id and not marker.retired:
                stream.limit = min(stream.limit, marker.limit)
                marked = Marked(sequence, time_ms(server_value(msg.headers, b"Nats-Time-Stamp")))
        if marked is None:
            return None
        return offsets, server_number(end.headers, b"Nats-UpTo-Sequence"), marked

    async def _batch(self, stream: Stream, channel: str, start: int, size: int, patience: Patience) -> Batch:
        """A channel's messages from `start` on, in as many answers as it takes."""
        subject = self._subjects.store(channel)
        messages: list[Live] = []
        answers = counted = 0
        while True:
            wanted = min(size - len(messages), ANSWER_MESSAGES)
            query = {"seq": start, "batch": wanted, "max_bytes": ANSWER_BYTES, "next_by_subj": subject}
            try:
                await self._keeper.verify(stream, patience)
                answer = await self._direct(stream, query, patience)
            except Moved:
                raise
            except BrokerUnavailable as error:
                stream.doubt()
                self.repeated += 1
                await patience.pause(str(error))
                continue
            answers += 1
            end = answer[-1]
            if end.status not in (_END_OF_BATCH, _NOT_FOUND):
                raise BrokerRejected(f"{stream.name}: a read was refused: {end.status} {end.status_text}")
            messages += [self._decode(msg.headers, msg.payload) for msg in answer[:-1]]
            pending = server_number(end.headers, _PENDING) if len(answer) > 1 else 0
            counted = max(counted, len(answer) - 1 + pending + (answers > 1))
            if not pending or len(messages) >= size:
                return Batch(tuple(messages), more=pending > 0, whole=answers == 1, counted=counted)
            start = messages[-1].offset + 1

    async def _direct(self, stream: Stream, query: Mapping[str, object], patience: Patience) -> list[Msg]:
        async with self._budget.turn(patience):
            return await self._jetstream.direct(stream.name, query, deadline_s=patience.attempt_s)

    async def _nothing_aged(self, stream: Stream, since: int, marked: Marked, patience: Patience) -> bool:
        """Whether some message at or before `since` + 1 is too young to have been removed by age anywhere."""
        oldest_ms = proofs.oldest_safe_ms(self._now_ms(), stream.max_age_s)
        if proofs.marker_is_evidence(marked, since, oldest_ms):
            return True
        start_time = datetime.fromtimestamp(oldest_ms / 1000, UTC).isoformat(timespec="milliseconds")
        while True:
            try:
                async with self._budget.turn(patience):
                    first = await self._jetstream.first_since(
                        stream.name, start_time.replace("+00:00", "Z"), deadline_s=patience.attempt_s
                    )
            except BrokerUnavailable as error:
                await patience.pause(str(error))
            else:
                return 0 < first <= since + 1

    async def _asked_leader(self, stream: Stream, patience: Patience) -> bool:
        """Learn from the leader how far the stream goes; whether it answered."""
        try:
            info = await self._jetstream.info(stream.name, deadline_s=patience.question_s)
        except BrokerUnavailable:
            return False
        if info is not None:
            stream.seen = max(stream.seen, info.state.last_seq)
        return True
