"""What a node makes of a stream it looks at."""

import itertools
from typing import Any

import pytest
import structlog
import trio

from node.broker.interface import BrokerRejected, BrokerUnavailable, HistoryOptions
from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats.epoch import Marker, decode_marker, encode_marker
from node.broker.nats.jetstream import UNLIMITED, JetStream
from node.broker.nats.keeper import Keeper, Moved, Stream, new_marker_id
from node.broker.nats.patience import Patience
from node.broker.nats.streams import wanted
from node.broker.nats.subjects import Partition, Subjects
from node.config.options import NatsOptions
from tests.node.broker.nats.fakes import FakeStream

HISTORY = HistoryOptions(size=4, ttl_s=60, meta_ttl_s=300)
NAMESPACES = Namespaces({"": NamespaceStore(HISTORY)})
SUBJECTS = Subjects("b", NAMESPACES)
OPTIONS = NatsOptions(prefix="b")
MARKER = "b.marker._.0"


class Node:
    """One node's view of the fake stream."""

    def __init__(
        self, fake: FakeStream, name: str = "n", history: HistoryOptions = HISTORY, partitions: int = 1
    ) -> None:
        self.epochs: list[tuple[str, str]] = []
        ids = itertools.count(1)
        self.keeper = Keeper(
            JetStream(fake),
            Subjects("b", Namespaces({"": NamespaceStore(HISTORY, partitions)})),
            OPTIONS,
            [("", history, partitions)],
            lambda namespace, epoch: self.epochs.append((namespace, epoch)),
            new_id=lambda: f"{name}{next(ids)}",
        )
        self.stream = self.keeper.streams[Partition("", 0)]

    async def look(self) -> Stream:
        """Check, whatever was known."""
        self.stream.doubt()
        await self.keeper.verify(self.stream, Patience(3))
        return self.stream


@pytest.fixture
def fake() -> FakeStream:
    """No stream yet."""
    return FakeStream()


def markers(fake: FakeStream) -> list[Marker | None]:
    return [decode_marker(payload) for subject, payload in fake.log if subject == MARKER]


async def test_a_missing_stream_is_created(fake: FakeStream) -> None:
    """The first look creates the stream as configured and writes its marker; the second finds both."""
    node = Node(fake)
    stream = await node.look()
    assert fake.settings == wanted(SUBJECTS, Partition("", 0), HISTORY, OPTIONS)
    assert markers(fake) == [Marker("n1", 5, partitions=1)]
    assert (stream.limit, stream.max_age_s, stream.seen, stream.verified) == (5, 300.0, 1, True)
    epoch = stream.epoch
    assert (await node.look()).epoch == epoch
    assert (await Node(fake, "other").look()).epoch == epoch
    assert len(fake.log) == node.keeper.created == 1
    assert node.epochs == []


async def test_nodes_that_start_together_agree(fake: FakeStream) -> None:
    """However many nodes look at a new stream at once, one marker wins."""
    nodes = [Node(fake, f"n{number}-") for number in range(5)]

    async def slow(subject: str, payload: bytes, headers: bytes = b"", **more: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return await request(subject, payload, headers, **more)

    request, fake.request = fake.request, slow  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.look)
    assert len(markers(fake)) == 1
    assert len({node.stream.epoch for node in nodes}) == 1


@pytest.mark.parametrize("err_code", [10071, 10164])
async def test_a_lost_race_is_looked_at_again(fake: FakeStream, err_code: int) -> None:
    """Whatever the server calls it, a marker another node wrote first is the one that counts."""
    node = Node(fake)
    fake.refusal = {"code": 400, "err_code": err_code, "description": "wrong last sequence"}
    await node.look()
    assert (node.keeper.checks, len(markers(fake))) == (2, 1)


async def test_callers_share_a_check(fake: FakeStream) -> None:
    """A crowd that needs the same stream looks at it once."""
    node = Node(fake)
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(node.keeper.verify, node.stream, Patience(3))
    assert node.keeper.checks == 1


async def test_a_doubt_during_a_check_is_heard(fake: FakeStream) -> None:
    """What was seen before the feed broke is not believed after it."""
    node = Node(fake)

    def doubt(call: str) -> None:
        fake.before = lambda _call: None
        node.keeper.doubt_all()

    fake.before = doubt
    await node.keeper.verify(node.stream, Patience(3))
    assert not node.stream.verified
    assert (await node.look()).verified


async def hold_for_ever(lock: trio.Lock) -> None:
    async with lock:
        await trio.sleep_forever()


async def test_waiting_for_a_check_ends_by_the_deadline(
    fake: FakeStream, autojump_clock: trio.testing.MockClock
) -> None:
    """Who waits for another's check that hangs is told by its own deadline."""
    node = Node(fake)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_ever, node.stream.checking)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BrokerUnavailable, match="in time"):
            await node.keeper.verify(node.stream, Patience(1))
        nursery.cancel_scope.cancel()
    assert not node.stream.verified


async def test_a_raised_limit_is_a_new_epoch(fake: FakeStream) -> None:
    """Messages removed by the lower limit are gone: proofs count on the higher one in a new epoch only."""
    node = Node(fake)
    before = (await node.look()).epoch
    assert fake.settings is not None
    fake.settings["max_msgs_per_subject"] = 50
    stream = await node.look()
    assert (stream.limit, markers(fake)[-1]) == (50, Marker("n2", 50, partitions=1))
    assert stream.epoch != before
    assert node.epochs == [("", stream.epoch)]
    del fake.settings["max_msgs_per_subject"]
    assert (await node.look()).limit == UNLIMITED


async def test_a_lowered_limit_counts_at_once(fake: FakeStream) -> None:
    """Proofs never count on more than the stream keeps; no position is lost by that."""
    node, other = Node(fake), Node(fake, "other")
    await node.look()
    assert fake.settings is not None
    fake.settings["max_msgs_per_subject"] = 2
    assert (await node.look()).limit == 2
    assert markers(fake) == [Marker("n1", 5, partitions=1), Marker("n1", 2, partitions=1)]
    assert (await other.look()).limit == 2
    assert node.epochs == []


async def test_a_retired_stream_starts_a_new_epoch(fake: FakeStream) -> None:
    """Publications of the time without history are not in the stream: positions of before mean nothing."""
    node = Node(fake)
    await node.look()
    fake.log.append((MARKER, encode_marker(Marker("off", 5, retired=True))))
    await node.look()
    assert markers(fake)[-1] == Marker("n2", 5, partitions=1)
    assert len(node.epochs) == 1


async def test_a_recreated_stream_is_a_new_epoch(fake: FakeStream) -> None:
    """A stream that was removed is created again, and the listener hears of it once."""
    node = Node(fake)
    await node.look()
    fake.settings = None
    fake.log.clear()
    stream = await node.look()
    await node.look()
    assert node.epochs == [("", stream.epoch)]
    assert (node.keeper.created, node.keeper.epoch_changes, stream.seen) == (2, 1, 1)


async def test_a_leader_that_has_not_caught_up_costs_nothing(fake: FakeStream) -> None:
    """A last sequence below one seen is not believed before a message written through the leader has one."""
    node = Node(fake)
    epoch = (await node.look()).epoch
    node.stream.seen = 3
    late = list(fake.log)

    def applied(call: str) -> None:
        if call == "PUB":
            fake.log[:] = [*late, ("b.store._.0.a", b""), ("b.store._.0.a", b"")]

    fake.before = applied
    stream = await node.look()
    assert (stream.epoch, node.epochs, stream.seen) == (epoch, [], 4)


async def test_a_lost_end_is_a_new_epoch(fake: FakeStream) -> None:
    """When even a message written through the leader gets a sequence given out before, the end was lost."""
    node = Node(fake)
    epoch = (await node.look()).epoch
    node.stream.seen = 9
    stream = await node.look()
    assert stream.epoch != epoch
    assert node.epochs == [("", stream.epoch)]


async def test_a_difference_is_followed_and_said_once(fake: FakeStream) -> None:
    """A stream with other settings is left as it is; the log says so once, with what to run."""
    await Node(fake).look()
    node = Node(fake, history=HistoryOptions(size=99, ttl_s=60, meta_ttl_s=300))
    with structlog.testing.capture_logs() as logs:
        await node.look()
        await node.look()
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert len(warnings) == 1
    assert "broadcast streams apply" in warnings[0]["event"]
    assert warnings[0]["difference"] == "max_msgs_per_subject 5, configured 100"
    assert node.stream.limit == 5


async def test_a_stream_that_cannot_be_used_is_named_until_it_can(fake: FakeStream) -> None:
    """Before the first check, after one that failed, no more after one that did not; said once each."""
    node = Node(fake)
    name = node.stream.name
    assert node.keeper.unusable() == {name: "not checked yet"}
    with structlog.testing.capture_logs() as logs:
        node.keeper.failed(node.stream, "no resources")
        node.keeper.failed(node.stream, "still no resources")
        assert node.keeper.unusable() == {name: "still no resources"}
        await node.look()
        await node.look()
    assert node.keeper.unusable() == {}
    assert [(entry["event"], entry.get("reason")) for entry in logs] == [
        ("stream cannot be used", "no resources"),
        ("stream created", None),
        ("stream checked", None),
    ]


@pytest.mark.parametrize("missing", ["allow_direct", "republish"])
async def test_a_stream_nodes_cannot_use_is_refused(fake: FakeStream, missing: str) -> None:
    """Without direct gets there are no reads, without re-publishing no live copies: say so."""
    node = Node(fake)
    await node.look()
    assert fake.settings is not None
    del fake.settings[missing]
    with pytest.raises(BrokerRejected, match="streams apply"):
        await node.look()


async def test_a_stream_that_is_one_too_many_is_left_alone(fake: FakeStream) -> None:
    """What its marker says sends the node to the first stream, before it could begin an epoch there."""
    node = Node(fake, partitions=2)
    second = node.keeper.streams[Partition("", 1)]
    await node.keeper.verify(second, Patience(3))
    assert (node.stream.verified, second.verified) == (True, True)
    fake.log.append((MARKER, encode_marker(Marker("one", 5, partitions=1))))
    fake.log.append(("b.marker._.1", encode_marker(Marker("off", 5, retired=True, partitions=1))))
    stored = len(fake.log)
    second.doubt()
    with pytest.raises(Moved):
        await node.keeper.verify(second, Patience(3))
    assert (second.gone, list(node.keeper.streams), len(fake.log)) == (True, [Partition("", 0)], stored)
    assert node.epochs == [("", ""), ("", node.stream.epoch)]


async def test_a_marker_of_another_number_is_replaced(fake: FakeStream) -> None:
    """Where only the first stream was told, the others' epochs end by themselves: their channels changed."""
    await Node(fake, partitions=1).look()
    fake.log.append(("b.marker._.1", encode_marker(Marker("old", 5, partitions=3))))
    fake.log.append((MARKER, encode_marker(Marker("two", 5, partitions=2))))
    node = Node(fake, "m")
    await node.look()
    second = node.keeper.streams[Partition("", 1)]
    await node.keeper.verify(second, Patience(3))
    assert (node.stream.marker_id, second.marker_id) == ("two", "m1")


def test_ids_are_random() -> None:
    """Every new epoch has an id of its own."""
    assert len({new_marker_id() for _ in range(100)}) == 100
