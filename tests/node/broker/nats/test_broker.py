"""The broker on NATS keeps every broker's promises, over a real server with streams of one copy."""

import random
from typing import Any

import msgspec
import nats
import pytest
import trio
from nats.aio.client import Client

from node.broker.interface import BrokerUnavailable, HistoryOptions, Live, Message
from node.broker.memory import MemoryBroker, MemoryStore
from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats.broker import NatsBroker
from node.broker.nats.protocol import Msg
from node.config.options import Duration, NatsOptions
from node.telemetry.series import BROKER_COUNTERS
from tests import plain_asyncio
from tests.contracts.broker import (
    HISTORY,
    NAMESPACES,
    BrokerContract,
    Inbox,
    MakeBroker,
    numbered,
    publish,
    until,
)
from tests.nats_server import NatsServer
from tests.node.broker.nats.conftest import Brokers, RecordedBroker
from tests.patience import PATIENCE_S


class TestNats(BrokerContract):
    """The contract."""

    @pytest.fixture
    def make_broker(self, make_broker: MakeBroker) -> MakeBroker:
        """Brokers over the shared server."""
        return make_broker


async def elsewhere(url: str, work: Any) -> None:
    """Do something with nats-py, in its own event loop in a thread."""

    async def connected() -> None:
        client: Client = await nats.connect(url)
        await work(client)
        await client.close()

    with trio.fail_after(PATIENCE_S):
        await trio.to_thread.run_sync(plain_asyncio.run, connected())


def test_every_counter_has_a_meaning() -> None:
    """What this broker counts is what the metrics show, no more and no less."""
    broker = NatsBroker(NatsOptions(), NAMESPACES, name="n")
    assert broker.counters().keys() == BROKER_COUNTERS.keys()
    assert broker.outbox_bytes == 0


async def test_anybody_may_publish_to_the_subjects(
    make_broker: MakeBroker, shared_server: NatsServer, prefix: str
) -> None:
    """A message of another NATS client is stored and delivered like our own, spoiled headers or not."""
    broker, inbox = await make_broker(), Inbox()
    await broker.subscribe("news.eu", inbox.deliver)
    await broker.heads(["news.eu"])

    async def work(client: Client) -> None:
        jetstream = client.jetstream()
        store = f"{prefix}.store._.0.news%2Eeu"
        await jetstream.publish(store, b"stored")
        spoiled = {
            "Broadcast-Info": '{"future":' + "[" * 30_000,
            "Broadcast-Tags": '{"a":1}',
            "Nats-Sequence": "1",
            "Nats-Stream": "x",
        }
        await jetstream.publish(store, b"spoiled", headers=spoiled)
        await jetstream.publish(store, b"tagged", headers={"Broadcast-Tags": '{"a":"b"}'})
        await client.publish(f"{prefix}.live._.0.news%2Eeu", b"plain", headers={"X": "y"})

    await elsewhere(shared_server.url, work)
    lives = await inbox.wait(4)
    assert inbox.data == [b"stored", b"spoiled", b"tagged", b"plain"]
    offsets = [live.offset for live in lives]
    assert [live.previous for live in lives[:3]] == [0, *offsets[:2]]
    assert lives[2].message.tags == {"a": "b"}
    assert lives[3] == Live(Message(b"plain"))
    page = await broker.read("news.eu", 0, 10)
    assert [(live.offset, live.message) for live in page.messages] == [
        (live.offset, live.message) for live in lives[:3]
    ]
    assert broker.decoder.undecodable == 4  # type: ignore[attr-defined]


class Forgetful(RecordedBroker):
    """Loses the answers to its first publishes."""

    answers_to_lose = 0

    async def request(self, subject: str, payload: bytes, headers: bytes = b"", *, deadline_s: float) -> Msg:
        answer = await self._request(subject, payload, headers, deadline_s=deadline_s)
        if b"Nats-Msg-Id" in headers and self.answers_to_lose:
            self.answers_to_lose -= 1
            raise BrokerUnavailable("answer lost")
        return answer

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._request = self.feed.request
        self.feed.request = self.request  # type: ignore[method-assign]


async def test_a_lost_answer_does_not_double_the_message(make_broker: Any) -> None:
    """A publish whose acknowledgement is lost is tried again with the same id, with a key and without."""
    broker, inbox = await make_broker(kind=Forgetful), Inbox()
    await broker.subscribe("news", inbox.deliver)
    for key in ("", "key"):
        broker.answers_to_lose = 2
        position = await broker.publish("news", Message(b"x"), HISTORY, key)
        head = (await broker.heads(["news"]))["news"]
        assert (head.offset, head.epoch) == (position.offset, position.epoch)
    await publish(broker, "news", "end")
    assert len(await inbox.wait(3)) == len(inbox.lives) == 3
    assert (broker.retries, broker.duplicates) == (4, 2)


async def test_a_tombstone_whose_answer_is_lost_is_left_all_the_same(make_broker: Any) -> None:
    """Removing ends with a tombstone on top and nothing below it, although an answer was lost."""
    broker = await make_broker(kind=Forgetful)
    await publish(broker, "news", *numbered(3))
    broker.answers_to_lose = 1
    position = await broker.remove_history("news")
    page = await broker.read("news", 0, 10)
    assert [(live.offset, live.tombstone) for live in page.messages] == [(position.offset, True)]


async def test_what_is_told_to_a_topic_of_questions_harms_nobody(make_broker: Any) -> None:
    """A message that expects no answer, from whoever may publish to the subject, gets none."""
    broker = await make_broker()
    await broker.answer("topic", bytes.upper)
    broker.tell("topic", b"told")
    assert await broker.ask("topic", b"asked") == b"ASKED"


async def test_calls_end_by_their_deadline(server: NatsServer, connect: Brokers) -> None:
    """Without a server every call ends by its deadline with BrokerUnavailable."""
    broker = await connect(server.url, request_deadline_s=0.3)

    async def reached() -> bool:
        try:
            return bool(await broker.heads(["news"]))
        except BrokerUnavailable:
            return False

    await until(reached)
    server.kill()
    for call in (
        lambda: broker.publish("news", Message(b"x"), HISTORY),
        lambda: broker.read("news", 0, 10),
        lambda: broker.heads(["news", "split:a", "split:b"]),
        lambda: broker.remove_history("news"),
        lambda: broker.subscribe("news", print),
        lambda: broker.ask("topic", b"x"),
    ):
        began_at = trio.current_time()
        with pytest.raises(BrokerUnavailable):
            await call()
        assert trio.current_time() - began_at < 2.8, "the usual deadline is longer"
    assert not broker.connected
    assert broker.disconnected_for_s > 0
    broker.tell("topic", b"dropped")


async def test_the_marker_outlives_the_messages(make_broker: Any) -> None:
    """An idle stream keeps its epoch for longer than it keeps messages."""
    brief = Namespaces({"": NamespaceStore(HistoryOptions(size=2, ttl_s=0.4, meta_ttl_s=0.4))})
    broker = await make_broker(namespaces=brief)
    head = (await broker.heads(["news"]))["news"]

    async def markers_written() -> bool:
        return (await broker.heads(["news"]))["news"].up_to >= head.up_to + 5

    await until(markers_written)
    assert (await broker.heads(["news"]))["news"].epoch == head.epoch
    assert broker.recorder.epochs == []


async def test_the_streams_own_limit_counts(make_broker: Any) -> None:
    """A node whose configuration keeps more than the stream does not take its own limit for a proof."""
    small = Namespaces({"": NamespaceStore(HistoryOptions(size=2, ttl_s=60, meta_ttl_s=300))})
    large = Namespaces({"": NamespaceStore(HistoryOptions(size=50, ttl_s=60, meta_ttl_s=300))})
    one, other = await make_broker(namespaces=small), await make_broker(namespaces=large)
    start = (await one.heads(["news"]))["news"].up_to
    offsets = await publish(one, "news", *numbered(4))
    page = await other.read("news", start, 100)
    assert ([live.offset for live in page.messages], page.complete) == (offsets[1:], False)


async def test_reads_larger_than_what_a_server_holds_back(connect: Brokers) -> None:
    """History of any size is read, by many at once, and the feed stands: live messages need it."""
    size = 20
    large = Namespaces({"": NamespaceStore(HistoryOptions(size=size, ttl_s=60, meta_ttl_s=300))})
    # A page is twice what this server keeps for one connection.
    with NatsServer("max_pending: 4MB, max_payload: 512KB") as server:
        broker = await connect(server.url, large, reads_bytes_max=2_000_000, request_deadline_s=Duration(60))
        names = [f"c{number}" for number in range(4)]
        data = "x" * 500_000
        offsets = {name: await publish(broker, name, *[data] * size) for name in names}
        pages = []

        async def read(name: str) -> None:
            pages.append(await broker.read(name, offsets[name][0], size))

        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                for name in names * 2:
                    nursery.start_soon(read, name)
            heads = await broker.heads(names)
        assert all(page.complete and len(page.messages) == size - 1 for page in pages)
        assert {name: head.offset for name, head in heads.items()} == {
            name: numbers[-1] for name, numbers in offsets.items()
        }
        assert (broker.recorder.broken, broker.feed.reconnects) == (0, 0)


async def test_events_of_a_stream_are_looked_into(make_broker: Any, prefix: str) -> None:
    """A stream changed by other tools is checked at once: the lowered limit is the one that counts."""
    broker = await make_broker()
    start = (await broker.heads(["news"]))["news"].up_to
    info = await broker.feed.request(f"$JS.API.STREAM.INFO.{prefix}-_-0", b"", deadline_s=5)
    settings = msgspec.json.decode(info.payload)["config"]
    settings["max_msgs_per_subject"] = 2
    checks = broker.keeper.checks
    await broker.feed.request(
        f"$JS.API.STREAM.UPDATE.{prefix}-_-0", msgspec.json.encode(settings), deadline_s=5
    )

    async def checked() -> bool:
        return broker.keeper.checks > checks

    await until(checked)
    await publish(broker, "news", *numbered(3))
    assert not (await broker.read("news", start, 10)).complete


async def test_a_new_leader_makes_heads_suspect(make_broker: Any, prefix: str) -> None:
    """The news that a stream's leader changed reaches the listener: live copies may have been dropped."""
    broker = await make_broker()
    broker.feed.publish(f"$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{prefix}-_-0", b"{}")

    async def suspected() -> bool:
        return bool(broker.recorder.suspect)

    await until(suspected)


async def test_a_live_sequence_that_falls_is_looked_into(make_broker: Any) -> None:
    """A live copy below the one before it makes the node check its stream."""
    broker: NatsBroker = await make_broker()
    await broker.heads(["news"])
    (stream,) = [stream for stream in broker.keeper.streams.values() if stream.partition.namespace == ""]
    broker.note_live(stream, 10)
    broker.note_live(stream, 10)
    assert stream.verified
    broker.note_live(stream, 9)
    assert not stream.verified


async def test_an_acknowledgement_that_falls_is_looked_into(make_broker: Any) -> None:
    """A message stored with a sequence below one seen belongs to a new epoch, which its position names."""
    broker = await make_broker()
    before = await broker.publish("news", Message(b"x"), HISTORY)
    for stream in broker.keeper.streams.values():
        stream.seen += 1000
    after = await broker.publish("news", Message(b"y"), HISTORY)
    assert after.epoch != before.epoch
    assert broker.recorder.epochs == [("", after.epoch)]


async def test_removed_history_is_gone(make_broker: Any, prefix: str) -> None:
    """Nothing but the tombstone and the marker is left in the stream: removal is not only hidden."""
    broker = await make_broker()
    await publish(broker, "news", *numbered(3))
    await broker.remove_history("news")
    info = await broker.feed.request(f"$JS.API.STREAM.INFO.{prefix}-_-0", b"", deadline_s=5)
    assert msgspec.json.decode(info.payload)["state"]["messages"] == 2


async def test_what_the_server_had_is_delivered_before_a_flush_ends(make_broker: Any) -> None:
    """Who joins after it gets nothing that is older, so nothing that it saw at another node."""
    publisher, broker, inbox = await make_broker(), await make_broker(), Inbox()
    await broker.subscribe("plain:a", inbox.deliver)
    for number in range(1000):
        await publisher.publish("plain:a", Message(b"%d" % number))
    await publisher.flush()
    await broker.flush()
    assert inbox.data == [b"%d" % number for number in range(1000)]


async def test_interests_may_be_given_back_twice_or_cut_off(server: NatsServer, connect: Brokers) -> None:
    """Giving back is never an error, and what was given back does not return with the connection."""
    broker, gone, stays = await connect(server.url), Inbox(), Inbox()
    interest = await broker.subscribe("news", gone.deliver)
    await broker.subscribe("news", stays.deliver)
    server.kill()
    broker.unsubscribe(interest)
    broker.unsubscribe(interest)
    await trio.to_thread.run_sync(server.start)
    await publish(broker, "news", "x")
    await stays.wait(1)
    assert gone.lives == []


async def test_subscribing_while_cut_off_waits_for_the_feed(server: NatsServer, connect: Brokers) -> None:
    """A subscription made while the server is away is in force when the call returns."""
    broker, inbox = await connect(server.url, request_deadline_s=10), Inbox()
    server.kill()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broker.subscribe, "news", inbox.deliver)
        await trio.testing.wait_all_tasks_blocked()
        await trio.to_thread.run_sync(server.start)
    await publish(broker, "news", "x")
    await inbox.wait(1)


async def test_interests_go_back_where_they_came_from(make_broker: Any) -> None:
    """Another broker's interest is a mistake of the program, said at once."""
    memory = MemoryBroker(MemoryStore(NAMESPACES, random.Random(1)))
    broker = await make_broker()
    interests = [await broker.subscribe("news", print), await memory.subscribe("news", print)]
    for wrong, interest in zip((memory, broker), interests, strict=True):
        with pytest.raises(TypeError, match="came from"):
            wrong.unsubscribe(interest)
