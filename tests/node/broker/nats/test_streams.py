"""Streams as configured, differences in words, and changes on a real server."""

import itertools
from typing import Any

import msgspec
import pytest

from node.broker.interface import BrokerRejected, HistoryOptions
from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats import streams
from node.broker.nats.epoch import Marker, decode_marker, encode_marker
from node.broker.nats.jetstream import JetStream
from node.broker.nats.keeper import new_marker_id
from node.broker.nats.streams import plan, wanted
from node.broker.nats.subjects import Partition, Subjects
from node.config.options import Duration, NatsOptions
from tests.contracts.broker import numbered, publish
from tests.node.broker.nats.fakes import FakeStream

HISTORY = HistoryOptions(size=4, ttl_s=60, meta_ttl_s=300)
SUBJECTS = Subjects("b", Namespaces({"": NamespaceStore(HISTORY)}))
PARTITION = Partition("", 0)
TARGET = wanted(SUBJECTS, PARTITION, HISTORY, NatsOptions(prefix="b"))


def test_wanted() -> None:
    """One message more than the history is kept, for as long as positions are to mean something."""
    assert wanted(SUBJECTS, PARTITION, HISTORY, NatsOptions(prefix="b", stream_replicas=3)) == {
        "name": "b-_-0",
        "subjects": ["b.store._.0.*", "b.marker._.0"],
        "storage": "file",
        "num_replicas": 3,
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 5,
        "max_age": 300_000_000_000,
        "duplicate_window": 300_000_000_000,
        "allow_direct": True,
        "republish": {"src": "b.store._.0.*", "dest": "b.live._.0.{{wildcard(1)}}"},
    }


def test_streams_are_placed_where_the_config_says() -> None:
    """The cluster and the tags are asked for; where neither is given, an operator's own placement stays."""
    placed = wanted(
        SUBJECTS, PARTITION, HISTORY, NatsOptions(prefix="b", stream_cluster="eu", stream_tags=("ssd",))
    )
    assert placed["placement"] == {"cluster": "eu", "tags": ["ssd"]}
    assert [change.setting for change in plan(TARGET, placed)] == ["placement"]
    assert plan(placed, TARGET) == []


def test_nobody_reads_backups() -> None:
    """No mirror, which would answer reads; kept as long and as deep as the stream, in the other cluster."""
    options = NatsOptions(prefix="b", stream_cluster="eu", stream_backups=("us", "ap"))
    target = wanted(SUBJECTS, PARTITION, HISTORY, options)
    first, second = streams.backups(target, options)
    assert (first["name"], first["placement"]) == ("b-_-0-us", {"cluster": "us"})
    assert (second["name"], second["sources"]) == ("b-_-0-ap", [{"name": "b-_-0"}])
    assert first["max_msgs_per_subject"] == target["max_msgs_per_subject"]
    assert not first.keys() & {"mirror", "allow_direct", "subjects", "republish"}


def test_the_duplicate_window_is_no_longer_than_messages_are_kept() -> None:
    """JetStream refuses a window above the age limit."""
    brief = HistoryOptions(size=4, ttl_s=1, meta_ttl_s=2)
    assert wanted(SUBJECTS, PARTITION, brief, NatsOptions())["duplicate_window"] == 2_000_000_000


@pytest.mark.parametrize(
    ("change", "setting", "says"),
    [
        ({"max_msgs_per_subject": 9}, "max_msgs_per_subject", "new epoch"),
        ({"max_msgs_per_subject": 2}, "max_msgs_per_subject", "oldest publications"),
        ({"max_age": 400_000_000_000}, "max_age", "longer"),
        ({"max_age": 200_000_000_000}, "max_age", "cannot recover"),
        ({"num_replicas": 3}, "num_replicas", "copies"),
        ({"duplicate_window": 1}, "duplicate_window", "idempotency key"),
        ({"republish": {"src": "a", "dest": "b"}}, "republish", "live copies"),
        ({"allow_direct": False}, "allow_direct", "replica"),
        ({"discard": "new"}, "discard", "full"),
        ({"subjects": ["x"]}, "subjects", "stored"),
        ({"storage": "memory"}, "storage", "cannot change"),
        ({"retention": "interest"}, "retention", "cannot change"),
    ],
)
def test_plan_says_what_a_change_means(change: dict[str, Any], setting: str, says: str) -> None:
    """Every difference is named with its two values and its meaning; the impossible ones as such."""
    (found,) = plan(TARGET, {**TARGET, **change})
    assert found.setting == setting
    assert says in found.meaning
    assert found.possible == ("cannot change" not in says)


def test_plan_of_what_is_right_is_empty() -> None:
    """Nothing is planned where nothing differs: order and settings of others do not count."""
    current = {**TARGET, "subjects": list(reversed(TARGET["subjects"])), "max_consumers": -1, "metadata": {}}
    assert plan(current, TARGET) == []


def test_plan_creates_what_is_missing() -> None:
    """A stream that does not exist is one change."""
    (change,) = plan(None, TARGET)
    assert (change.wanted, change.possible) == ("b-_-0", True)
    assert "created" in change.meaning


@pytest.mark.parametrize(
    ("limit", "order", "marker"),
    [
        (2, ["PUB", "STREAM.UPDATE"], Marker("first", 2)),
        (9, ["STREAM.UPDATE", "PUB"], Marker("second", 9)),
    ],
)
async def test_the_marker_never_promises_too_much(limit: int, order: list[str], marker: Marker) -> None:
    """A lower limit is in the marker before it is in the stream, a higher one after it and under a new id."""
    fake = FakeStream({**TARGET})
    subject = SUBJECTS.marker(PARTITION)
    fake.log.append((subject, encode_marker(Marker("first", 5))))
    target = {**TARGET, "max_msgs_per_subject": limit}
    await streams.apply(
        JetStream(fake), target, marker_subject=subject, new_id=lambda: "second", deadline_s=5
    )
    assert [call for call in fake.asked if call in order] == order
    assert decode_marker(fake.log[-1][1]) == marker
    assert fake.settings == target


@pytest.mark.parametrize("limit", [2, 9])
async def test_apply_and_the_nodes_do_not_fight_over_the_marker(limit: int) -> None:
    """A node that writes the marker between two steps of `apply` is no error: the stream ends as wanted."""
    fake = FakeStream({**TARGET})
    subject = SUBJECTS.marker(PARTITION)
    fake.log.append((subject, encode_marker(Marker("first", 5))))
    target = {**TARGET, "max_msgs_per_subject": limit}

    def a_node_is_first(call: str) -> None:
        if call == "PUB":
            fake.before = lambda _call: None
            fake.log.append((subject, encode_marker(Marker("node's", 9 if limit == 9 else 5))))

    fake.before = a_node_is_first
    await streams.apply(
        JetStream(fake), target, marker_subject=subject, new_id=lambda: "second", deadline_s=5
    )
    assert decode_marker(fake.log[-1][1]) == Marker("node's", limit)
    assert fake.settings == target


def sized(size: int, **more: Any) -> Namespaces:
    return Namespaces({"": NamespaceStore(HistoryOptions(size=size, ttl_s=60, meta_ttl_s=300, **more))})


class Operator:
    """Runs `apply` on the shared server."""

    def __init__(self, broker: Any, prefix: str) -> None:
        self.jetstream = JetStream(broker.feed)
        self.subjects = Subjects(prefix, sized(4))
        self.options = NatsOptions(prefix=prefix)
        self.marker = self.subjects.marker(PARTITION)

    async def apply(self, size: int, **options: Any) -> list[str]:
        """The names of the settings that were changed."""
        history = HistoryOptions(size=size, ttl_s=60, meta_ttl_s=300)
        target = wanted(self.subjects, PARTITION, history, msgspec.structs.replace(self.options, **options))
        changes = await streams.apply(
            self.jetstream, target, marker_subject=self.marker, new_id=new_marker_id, deadline_s=5
        )
        return [change.setting for change in changes]


async def test_apply_raises_a_limit_with_a_new_epoch(make_broker: Any, prefix: str) -> None:
    """After a raise no position of before proves anything, and a page with the new limit's worth does."""
    broker = await make_broker(namespaces=sized(4))
    offsets = await publish(broker, "news", *numbered(8))
    epoch = (await broker.heads(["news"]))["news"].epoch
    operator = Operator(broker, prefix)
    assert await operator.apply(20) == ["max_msgs_per_subject"]
    assert await operator.apply(20) == []
    page = await broker.read("news", offsets[-1], 100)
    assert page.head.epoch != epoch
    assert len(broker.recorder.epochs) == 1
    start = (await broker.heads(["empty"]))["empty"].up_to
    await publish(broker, "empty", *numbered(20))
    page = await broker.read("empty", start, 100)
    assert (len(page.messages), page.complete) == (20, True)


async def test_apply_lowers_a_limit_within_the_epoch(make_broker: Any, prefix: str) -> None:
    """A lowered limit removes the oldest; no proof counts on the higher one from then on."""
    broker = await make_broker(namespaces=sized(4))
    start = (await broker.heads(["news"]))["news"].up_to
    offsets = await publish(broker, "news", *numbered(4))
    assert (await broker.read("news", start, 100)).complete
    assert await Operator(broker, prefix).apply(1) == ["max_msgs_per_subject"]
    page = await broker.read("news", start, 100)
    assert ([live.offset for live in page.messages], page.complete) == (offsets[2:], False)
    assert (await broker.read("news", offsets[2], 100)).complete
    assert broker.recorder.epochs == []


async def test_apply_creates(make_broker: Any, prefix: str) -> None:
    """Streams may be made before the first node starts."""
    helper = await make_broker(namespaces=Namespaces())
    operator = Operator(helper, prefix)
    assert await operator.apply(4) == [""]
    node = await make_broker(namespaces=sized(4))
    await publish(node, "news", "x")
    assert node.keeper.created == 0


async def test_apply_refuses_what_jetstream_cannot_do(make_broker: Any, prefix: str) -> None:
    """An impossible change is refused with the way out, and nothing else is changed either."""
    broker = await make_broker(namespaces=sized(4))
    await broker.heads(["news"])
    operator = Operator(broker, prefix)
    with pytest.raises(BrokerRejected, match=r"storage is 'file', wanted 'memory'.*another prefix"):
        await operator.apply(9, stream_storage="memory")
    assert await operator.apply(4) == []
    with pytest.raises(BrokerRejected, match="JetStream answered"):
        await operator.apply(4, stream_replicas=3)
    assert await operator.apply(4, duplicate_window=Duration(60)) == ["duplicate_window"]


async def test_retire(make_broker: Any, prefix: str) -> None:
    """History switched off and on again is a new epoch, and switching off twice is as good as once."""
    broker = await make_broker(namespaces=sized(4))
    await publish(broker, "news", "x")
    operator = Operator(broker, prefix)
    ids = itertools.count()
    retired = [
        await streams.retire(
            operator.jetstream,
            operator.subjects.stream(PARTITION),
            marker_subject=operator.marker,
            new_id=lambda: f"off{next(ids)}",
            deadline_s=5,
        )
        for _ in range(2)
    ]
    assert retired == [True, False]
    await broker.heads(["news"])
    assert len(broker.recorder.epochs) == 1
    names = await operator.jetstream.names(f"{prefix}.store.>", deadline_s=5)
    assert names == (operator.subjects.stream(PARTITION),)
