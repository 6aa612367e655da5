"""Reads from replicas that lag, say nothing, or belong to another epoch."""

import itertools

import pytest
import trio

from node.broker.interface import BrokerRejected, BrokerUnavailable, HistoryOptions
from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats.budget import ANSWER_BYTES, Budget
from node.broker.nats.envelope import Decoder, time_ms
from node.broker.nats.epoch import Marker, encode_marker
from node.broker.nats.jetstream import JetStream
from node.broker.nats.keeper import Keeper, Stream
from node.broker.nats.protocol import Msg
from node.broker.nats.reads import Reader
from node.broker.nats.subjects import Subjects
from node.config.options import NatsOptions
from tests.node.broker.nats.fakes import TIME, FakeStream

NAMESPACES = Namespaces({"": NamespaceStore(HistoryOptions(size=4, ttl_s=60, meta_ttl_s=300))})
SUBJECTS = Subjects("b", NAMESPACES)
MARKER = "b.marker._.0"


class Setup:
    """A reader over a fake stream."""

    def __init__(self) -> None:
        self.fake = FakeStream()
        self.epochs: list[tuple[str, str]] = []
        ids = itertools.count(1)
        jetstream = JetStream(self.fake)
        self.keeper = Keeper(
            jetstream,
            SUBJECTS,
            NatsOptions(prefix="b"),
            NAMESPACES.histories(),
            lambda namespace, epoch: self.epochs.append((namespace, epoch)),
            new_id=lambda: f"id{next(ids)}",
        )
        now_ms = time_ms(TIME.encode())
        budget = Budget(64_000_000, lambda: 0)
        self.reader = Reader(
            jetstream, SUBJECTS, self.keeper, Decoder(), budget, deadline_s=3, now_ms=lambda: now_ms
        )
        (self.stream,) = self.keeper.streams.values()

    def store(self, *channels: str, size: int = 1) -> int:
        """Store a message of each channel; the last one's sequence."""
        for channel in channels:
            self.fake.log.append((SUBJECTS.store(channel), b"x" * size))
        return len(self.fake.log)

    async def heads(self, *channels: str) -> dict[str, int]:
        """Offsets only."""
        heads = await self.reader.heads([(self.stream, channels)])
        return {channel: head.offset for channel, head in heads.items()}


@pytest.fixture
async def setup() -> Setup:
    """A stream that was checked once: its marker has sequence 1."""
    setup = Setup()
    assert await setup.heads("a") == {"a": 0}
    return setup


async def test_the_marker_is_asked_for_with_every_head(setup: Setup) -> None:
    """Channels of which nothing is stored have a head that says how far it is true."""
    head = (await setup.reader.heads([(setup.stream, ["a"])]))["a"]
    assert (head.offset, head.up_to, head.epoch) == (0, 1, setup.stream.epoch)


async def test_a_lagging_replica_is_asked_again(setup: Setup) -> None:
    """Heads are as new as what this node has seen, whichever replica answers first."""
    setup.stream.seen = setup.store("a", "a", "b")
    setup.fake.lags = [3, 2, 1, 0]
    assert await setup.heads("a", "b") == {"a": 3, "b": 4}
    assert setup.reader.repeated == 3


async def test_a_page_reaches_what_the_chain_says(setup: Setup) -> None:
    """`at_least` is in the page although replicas lag, and although this node has seen less."""
    since = setup.store("a")
    last = setup.store("a", "a")
    setup.fake.lags = [2, 1, 0, 2, 0, 1, 0, 0]
    page = await setup.reader.read(setup.stream, "a", since, 10, at_least=last)
    assert [live.offset for live in page.messages] == [since + 1, last]
    assert page.complete


async def test_a_page_is_read_again_until_it_has_the_head(setup: Setup) -> None:
    """Messages behind a lagging second answer are not taken for removed."""
    since = setup.store("a")
    last = setup.store("a")
    setup.fake.lags = [0, 1, 0, 0]
    page = await setup.reader.read(setup.stream, "a", since, 10)
    assert ([live.offset for live in page.messages], page.complete) == ([last], True)
    assert setup.reader.repeated == 1


async def test_a_position_beyond_a_lagging_replica_is_good(setup: Setup) -> None:
    """A client that was at another node is ahead of the replica asked: the leader is, too."""
    since = setup.store("a", "a")
    setup.fake.lags = [1, 0]
    page = await setup.reader.read(setup.stream, "a", since, 10)
    assert (page.messages, page.complete, page.head.up_to) == ((), True, since)


async def test_a_position_beyond_the_stream_is_not(setup: Setup) -> None:
    """A position that even the leader has not reached proves nothing."""
    last = setup.store("a")
    page = await setup.reader.read(setup.stream, "a", last + 5, 10)
    assert (page.complete, page.head.up_to) == (False, last)
    assert setup.fake.asked.count("STREAM.INFO") == 2


async def test_a_replica_that_never_catches_up(setup: Setup, autojump_clock: trio.testing.MockClock) -> None:
    """What is known to be stored and cannot be read ends by the deadline, with the reason."""
    setup.store("a")
    with pytest.raises(BrokerUnavailable, match="only sequence 2 reached, not 99"):
        await setup.reader.read(setup.stream, "a", 0, 10, at_least=99)
    assert trio.current_time() <= 3.0
    assert setup.epochs == []


async def test_silence_is_asked_again_until_the_deadline(
    setup: Setup, autojump_clock: trio.testing.MockClock
) -> None:
    """Lost answers cost time, not the read; without any answer it ends by its deadline."""
    since = setup.store("a")
    setup.store("a")
    for lost in (1, 2, 3):
        setup.fake.missing = lost
        assert (await setup.reader.read(setup.stream, "a", since, 10)).complete
    setup.fake.missing = 10_000
    with pytest.raises(BrokerUnavailable, match="nobody answers"):
        await setup.reader.read(setup.stream, "a", since, 10)


async def test_another_marker_is_another_epoch(setup: Setup) -> None:
    """A marker another node has written is noticed by the next read, before anything is answered."""
    before = setup.stream.epoch
    setup.fake.log.append((MARKER, encode_marker(Marker("other", 5, partitions=1))))
    page = await setup.reader.read(setup.stream, "a", 1, 10)
    assert page.head.epoch == setup.stream.epoch != before
    assert setup.epochs == [("", page.head.epoch)]


async def test_a_marker_with_a_lower_limit_counts(setup: Setup) -> None:
    """The limit is lowered in the marker before it is in the stream: proofs follow with the next read."""
    setup.store("a", "a")
    assert (await setup.reader.read(setup.stream, "a", 1, 10)).complete
    setup.fake.log.append((MARKER, encode_marker(Marker(setup.stream.marker_id, 2, partitions=1))))
    assert not (await setup.reader.read(setup.stream, "a", 1, 10)).complete
    assert setup.epochs == []


async def test_a_lost_log_is_another_epoch(setup: Setup) -> None:
    """What this node waits for in the old epoch is not waited for in the new one."""
    last = setup.store("a", "a", "a")
    assert await setup.heads("a") == {"a": last}
    setup.fake.log.clear()
    page = await setup.reader.read(setup.stream, "a", last, 10, at_least=last)
    assert not page.complete
    assert setup.epochs == [("", page.head.epoch)]


async def test_a_truncated_log_is_another_epoch(setup: Setup) -> None:
    """The marker is there and the end of the stream is not: a check by writing tells."""
    last = setup.store("a", "a", "a")
    assert await setup.heads("a") == {"a": last}
    del setup.fake.log[1:]
    page = await setup.reader.read(setup.stream, "a", last, 10)
    assert not page.complete
    assert setup.epochs == [("", page.head.epoch)]


async def test_a_changed_epoch_between_head_and_page(setup: Setup) -> None:
    """A page of a stream that lost its sequence after its head was read is read again."""
    since = setup.store("a")
    setup.store("a")
    direct_gets = itertools.count(1)

    def lose(call: str) -> None:
        if call == "DIRECT.GET" and next(direct_gets) == 2:
            setup.stream.doubt()

    setup.fake.before = lose
    page = await setup.reader.read(setup.stream, "a", since, 10)
    assert page.complete
    assert setup.reader.repeated == 1


async def test_pages_are_cut(setup: Setup) -> None:
    """No more than `limit` messages, whether the position itself is still stored or not."""
    setup.store("a", "a", "a")
    for since, complete in ((0, False), (1, False), (2, True)):
        page = await setup.reader.read(setup.stream, "a", since, 2)
        assert (len(page.messages), page.complete) == (2, complete), since


async def test_a_page_larger_than_an_answer(setup: Setup) -> None:
    """What the server cuts off an answer is asked for next: a page has no size at which it cannot be read."""
    since = setup.store("a")
    setup.store("a", "a", "a", size=ANSWER_BYTES)
    setup.fake.asked.clear()
    for limit, complete in ((3, True), (2, False)):
        page = await setup.reader.read(setup.stream, "a", since, limit)
        assert [live.offset for live in page.messages] == [since + 1, since + 2, since + 3][:limit]
        assert page.complete == complete
    assert setup.reader.repeated == 0
    # The head, and an answer for each of the large ones; the small one comes with the first of them.
    assert setup.fake.asked.count("DIRECT.GET") == (1 + 3) + (1 + 2)


async def test_a_page_of_several_answers_loses_none_of_them(
    setup: Setup, autojump_clock: trio.testing.MockClock
) -> None:
    """An answer that is lost is asked for again, and what came before it is not."""
    since = setup.store("a")
    last = setup.store("a", "a", "a", size=ANSWER_BYTES)
    direct_gets = itertools.count(1)

    def lose(call: str) -> None:
        if call == "DIRECT.GET" and next(direct_gets) == 3:
            setup.fake.missing = 1

    setup.fake.before = lose
    page = await setup.reader.read(setup.stream, "a", since, 10)
    assert ([live.offset for live in page.messages][-1], page.complete) == (last, True)
    assert (setup.reader.repeated, next(direct_gets)) == (1, 6)


async def test_heads_of_large_messages(setup: Setup) -> None:
    """A head is not taken for missing because the answer had no room for it: the next ones ask for fewer."""
    channels = [f"c{number}" for number in range(20)]
    setup.store(*channels, size=ANSWER_BYTES // 3)
    heads = await setup.heads(*channels)
    assert [heads[name] for name in channels] == list(range(2, 22))
    setup.fake.asked.clear()
    await setup.heads(*channels)
    # Two or three have room in an answer, next to the marker; now and then more are tried.
    assert setup.fake.asked.count("DIRECT.GET") <= 15


async def test_many_heads_are_asked_in_portions(setup: Setup) -> None:
    """A request never asks for more heads than servers answer."""
    channels = [f"c{number}" for number in range(1201)]
    setup.store(*channels)
    setup.fake.asked.clear()
    heads = await setup.heads(*channels)
    assert len(heads) == 1201
    assert all(heads.values())
    assert setup.fake.asked.count("DIRECT.GET") == 3


async def test_age_evidence_from_the_stream(setup: Setup) -> None:
    """Where the marker is newer than the position, another message proves that nothing was removed by age."""
    since = setup.store("b", "b")
    setup.fake.log.append((MARKER, setup.fake.log[0][1]))
    last = setup.store("a")
    page = await setup.reader.read(setup.stream, "a", since - 1, 10)
    assert ([live.offset for live in page.messages], page.complete) == ([last], True)


@pytest.mark.parametrize("status", ["413 Too Many Results", "500 broken"])
async def test_refusals_are_rejections(setup: Setup, status: str) -> None:
    """An answer the server gives on purpose is not asked for again."""
    setup.store("a")

    async def refuse(*_arguments: object, **_more: object) -> list[Msg]:
        return [Msg(b"", b"", f"NATS/1.0 {status}\r\n\r\n".encode(), b"")]

    setup.fake.request_many = refuse  # type: ignore[method-assign,assignment]
    with pytest.raises(BrokerRejected, match=status):
        await setup.heads("a")


async def test_streams_fail_together(setup: Setup, autojump_clock: trio.testing.MockClock) -> None:
    """Heads over several streams are all there or none."""
    other = Stream(setup.stream.partition, SUBJECTS, setup.stream.history)
    setup.fake.missing = 10_000
    with pytest.raises(BrokerUnavailable):
        await setup.reader.heads([(setup.stream, ["a"]), (other, ["b"])])
