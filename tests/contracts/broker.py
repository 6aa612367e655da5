"""What every broker promises, as tests: `class TestX(BrokerContract)` runs them against X.

The class that inherits overrides the fixture `make_broker`. Its brokers share one store, which is
empty at the start of every test; channels of `brief` expire after half a second of the test's clock.
"""

import pytest
import trio
from msgspec import Raw

from node.broker.interface import Broker, BrokerRejected, HistoryOptions, Live, Message
from node.broker.namespaces import Namespaces, NamespaceStore
from node.protocol.messages import ClientInfo
from tests.contracts.nodes import MakeBroker, NodesContract, until
from tests.patience import PATIENCE_S

SIZE = 4
HISTORY = HistoryOptions(size=SIZE, ttl_s=60, meta_ttl_s=300)
BRIEF = HistoryOptions(size=SIZE, ttl_s=0.5, meta_ttl_s=0.5)
NAMESPACES = Namespaces(
    {
        "": NamespaceStore(HISTORY),
        "brief": NamespaceStore(BRIEF),
        "split": NamespaceStore(HISTORY, partitions=3),
        "plain": NamespaceStore(),
    },
    private_prefix="$",
)


class Inbox:
    """Collects what is delivered."""

    def __init__(self) -> None:
        self.lives: list[Live] = []
        self._news = trio.Event()

    def deliver(self, live: Live) -> None:
        self.lives.append(live)
        self._news.set()

    async def wait(self, count: int) -> list[Live]:
        """The first messages, as soon as there are that many."""
        with trio.fail_after(PATIENCE_S):
            while len(self.lives) < count:
                self._news = trio.Event()
                await self._news.wait()
        return self.lives[:count]

    @property
    def data(self) -> list[bytes]:
        return [live.message.data for live in self.lives]


async def publish(broker: Broker, channel: str, *data: str, history: HistoryOptions = HISTORY) -> list[int]:
    """Store messages one after the other; returns their offsets."""
    offsets = []
    for text in data:
        position = await broker.publish(channel, Message(text.encode()), history)
        assert position is not None
        offsets.append(position.offset)
    return offsets


def numbered(count: int, start: int = 0) -> list[str]:
    return [f"m{number}" for number in range(start, start + count)]


class BrokerContract(NodesContract):
    """The promises of node/broker/interface.py."""

    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        """A running, connected broker at each call, all over one store."""
        raise NotImplementedError

    async def test_order(self, make_broker: MakeBroker) -> None:
        """Live messages of one channel arrive in the order of their offsets, each naming the one before."""
        publisher, subscriber = await make_broker(), await make_broker()
        inbox = Inbox()
        await subscriber.subscribe("news", inbox.deliver)
        before = (await publisher.heads(["news"]))["news"]
        offsets = await publish(publisher, "news", *numbered(6))
        lives = await inbox.wait(6)
        assert [live.message.data.decode() for live in lives] == numbered(6)
        assert [live.offset for live in lives] == offsets == sorted(set(offsets))
        assert [live.previous for live in lives] == [before.offset, *offsets[:-1]]
        assert all(live.time_ms > 1_600_000_000_000 for live in lives)

    async def test_acceptance(self, make_broker: MakeBroker) -> None:
        """A publish with history returns when every node can read the message."""
        one, other = await make_broker(), await make_broker()
        position = await one.publish("news", Message(b"x"), HISTORY)
        assert position is not None
        page = await other.read("news", 0, 10)
        assert [(live.offset, live.message.data) for live in page.messages] == [(position.offset, b"x")]
        assert page.head.epoch == position.epoch != ""

    async def test_plain_messages_are_not_stored(self, make_broker: MakeBroker) -> None:
        """Without history a message is delivered with offset 0, in order, once, and nothing is kept."""
        broker, inbox = await make_broker(), Inbox()
        await broker.subscribe("news", inbox.deliver)
        await broker.subscribe("plain:a", inbox.deliver)
        for channel in ("news", "plain:a", "news"):
            assert await broker.publish(channel, Message(channel.encode())) is None
        assert await inbox.wait(3) == [
            Live(Message(b"news")),
            Live(Message(b"plain:a")),
            Live(Message(b"news")),
        ]
        assert (await broker.heads(["news"]))["news"].offset == 0

    @pytest.mark.parametrize("kept", [HISTORY, None])
    async def test_attributes_travel(self, make_broker: MakeBroker, kept: HistoryOptions | None) -> None:
        """Payload, publisher and tags arrive as they were, whatever bytes and scripts they are of."""
        broker, inbox = await make_broker(), Inbox()
        info = ClientInfo("Ünal\r\n", "c-1", Raw(b'{"a":\r\n"\xc3\xa4"}'), Raw(bytes(range(256))))
        message = Message(bytes(range(256)), info, {"ключ": "значение\r\nX: y", "": "e"})
        await broker.subscribe("news", inbox.deliver)
        await broker.publish("news", message, kept)
        assert (await inbox.wait(1))[0].message == message
        if kept:
            assert (await broker.read("news", 0, 10)).messages[0].message == message

    async def test_every_legal_channel_name_works(self, make_broker: MakeBroker) -> None:
        """Names with characters that mean something to a broker are names like any other."""
        broker = await make_broker()
        names = [
            "a.b",
            "a*",
            "a.>",
            ">",
            "$plain",
            "a b",
            "a%2Eb",
            "новости",
            "x" * 255,
            "#u,v",
            "{{wildcard(1)}}",
            "a\nb",
        ]
        inboxes = {name: Inbox() for name in names}
        for name, inbox in inboxes.items():
            await broker.subscribe(name, inbox.deliver)
        for name in names:
            await publish(broker, name, name)
        for name, inbox in inboxes.items():
            await inbox.wait(1)
            assert inbox.data == [name.encode()], name
        heads = await broker.heads(names)
        assert len({head.offset for head in heads.values()}) == len(names)

    async def test_idempotency_key(self, make_broker: MakeBroker) -> None:
        """A retry with the same key returns the first position, on any node, and delivers nothing."""
        one, other, inbox = await make_broker(), await make_broker(), Inbox()
        await one.subscribe("news", inbox.deliver)
        first = await one.publish("news", Message(b"a"), HISTORY, "key")
        assert await other.publish("news", Message(b"b"), HISTORY, "key") == first
        await publish(other, "news", "c")
        await inbox.wait(2)
        assert inbox.data == [b"a", b"c"]
        assert other.duplicates == 1  # type: ignore[attr-defined]

    async def test_same_key_on_two_channels(self, make_broker: MakeBroker) -> None:
        """Keys are the channel's own: the same one elsewhere is another message."""
        broker = await make_broker()
        long = "k" * 500
        positions = [
            await broker.publish(channel, Message(b"x"), HISTORY, key)
            for channel in ("a", "b", "a.b")
            for key in ("key", "b.key", long)
        ]
        assert len({position.offset for position in positions if position}) == 9

    async def test_unsubscribe(self, make_broker: MakeBroker) -> None:
        """An interest that was given back gets nothing; another of the same channel goes on."""
        broker, gone, stays = await make_broker(), Inbox(), Inbox()
        interest = await broker.subscribe("news", gone.deliver)
        await broker.subscribe("news", stays.deliver)
        await publish(broker, "news", "a")
        await gone.wait(1)
        broker.unsubscribe(interest)
        await publish(broker, "news", "b")
        await stays.wait(2)
        assert gone.data == [b"a"]

    async def test_interest_holds_when_subscribe_returns(self, make_broker: MakeBroker) -> None:
        """What another node publishes as soon as `subscribe` has returned is delivered, stored or not."""
        publisher, subscriber, inbox = await make_broker(), await make_broker(), Inbox()
        await publish(publisher, "warm", "up")
        names = [f"c{number}" for number in range(100)]
        for number, name in enumerate(names):
            await subscriber.subscribe(name, inbox.deliver)
            await publisher.publish(name, Message(name.encode()), HISTORY if number % 2 else None)
        await inbox.wait(len(names))
        assert sorted(inbox.data) == sorted(name.encode() for name in names)

    async def test_cancelled_subscribe_leaves_no_interest(self, make_broker: MakeBroker) -> None:
        """A cancelled subscribe delivers nothing."""
        broker, gone, stays = await make_broker(), Inbox(), Inbox()
        with trio.CancelScope() as scope:
            scope.cancel()
            await broker.subscribe("news", gone.deliver)
        await broker.subscribe("news", stays.deliver)
        await publish(broker, "news", "a")
        await stays.wait(1)
        assert scope.cancelled_caught
        assert gone.lives == []

    async def test_exactly_history_size_missed(self, make_broker: MakeBroker) -> None:
        """Who missed as many as the history holds can prove it; who missed one that is gone cannot."""
        broker = await make_broker()
        offsets = await publish(broker, "news", *numbered(SIZE + 3))
        page = await broker.read("news", offsets[2], 100)
        assert page.complete
        assert [live.offset for live in page.messages] == offsets[3:]
        page = await broker.read("news", offsets[0], 100)
        assert not page.complete
        assert page.head.offset == offsets[-1]

    async def test_limit_cuts_a_page(self, make_broker: MakeBroker) -> None:
        """A page has as many messages as were asked for, the oldest, and says that it is not all."""
        broker = await make_broker()
        offsets = await publish(broker, "news", *numbered(4))
        page = await broker.read("news", offsets[0], 2)
        assert [live.offset for live in page.messages] == offsets[1:3]
        assert not page.complete
        page = await broker.read("news", offsets[0], 3)
        assert [live.offset for live in page.messages] == offsets[1:]
        assert page.complete

    async def test_position_of_an_empty_channel(self, make_broker: MakeBroker) -> None:
        """An empty channel has a position that is not 0, from which nothing is missed up to the limit."""
        broker = await make_broker()
        await publish(broker, "other", *numbered(3))
        head = (await broker.heads(["news"]))["news"]
        assert head.offset == 0
        assert head.up_to > 0
        page = await broker.read("news", head.up_to, 10)
        assert (page.messages, page.complete) == ((), True)
        offsets = await publish(broker, "news", *numbered(SIZE))
        page = await broker.read("news", head.up_to, 10)
        assert ([live.offset for live in page.messages], page.complete) == (offsets, True)
        await publish(broker, "news", *numbered(2))
        assert not (await broker.read("news", head.up_to, 10)).complete

    async def test_position_above_the_end(self, make_broker: MakeBroker) -> None:
        """A position the store never reached proves nothing, and the head says so."""
        broker = await make_broker()
        (offset,) = await publish(broker, "news", "a")
        page = await broker.read("news", offset + 1000, 10)
        assert (page.messages, page.complete) == ((), False)
        assert page.head.up_to < offset + 1000

    async def test_expiry_in_the_chain(self, make_broker: MakeBroker) -> None:
        """After everything of a channel has expired its next message names no predecessor."""
        broker, inbox = await make_broker(), Inbox()
        await broker.subscribe("brief:a", inbox.deliver)
        (first,) = await publish(broker, "brief:a", "a", history=BRIEF)

        async def expired() -> bool:
            return (await broker.heads(["brief:a"]))["brief:a"].offset == 0

        await until(expired)
        (second,) = await publish(broker, "brief:a", "b", history=BRIEF)
        lives = await inbox.wait(2)
        assert [(live.offset, live.previous) for live in lives] == [(first, 0), (second, 0)]

    async def test_quiet_channel_older_than_its_history(self, make_broker: MakeBroker) -> None:
        """Who was away for longer than messages are kept is not told that nothing was missed."""
        broker = await make_broker()
        (position,) = await publish(broker, "brief:a", "a", history=BRIEF)
        await publish(broker, "brief:a", "missed", history=BRIEF)

        async def expired() -> bool:
            return (await broker.heads(["brief:a"]))["brief:a"].offset == 0

        await until(expired)
        page = await broker.read("brief:a", position, 10)
        assert (page.messages, page.complete) == ((), False)
        (last,) = await publish(broker, "brief:a", "b", history=BRIEF)
        page = await broker.read("brief:a", position, 10)
        assert ([live.offset for live in page.messages], page.complete) == ([last], False)

    async def test_remove_history(self, make_broker: MakeBroker) -> None:
        """Removing leaves a tombstone: positions below it prove nothing, the position itself does."""
        one, other, inbox = await make_broker(), await make_broker(), Inbox()
        await other.subscribe("news", inbox.deliver)
        offsets = await publish(one, "news", *numbered(3))
        position = await one.remove_history("news")
        assert position.offset > offsets[-1]
        live = (await inbox.wait(4))[3]
        assert (live.offset, live.previous, live.tombstone) == (position.offset, offsets[-1], True)
        assert live.message.data == b""
        page = await other.read("news", offsets[-1], 10)
        assert ([live.tombstone for live in page.messages], page.complete) == ([True], False)
        page = await other.read("news", 0, 10)
        assert ([live.tombstone for live in page.messages], page.complete) == ([True], False)
        (last,) = await publish(other, "news", "after")
        page = await one.read("news", position.offset, 10)
        assert ([live.offset for live in page.messages], page.complete) == ([last], True)

    async def test_remove_history_of_an_empty_channel(self, make_broker: MakeBroker) -> None:
        """Removing where nothing is stored is no error, and its position is good."""
        broker = await make_broker()
        position = await broker.remove_history("news")
        assert (await broker.read("news", position.offset, 10)).complete

    async def test_remove_history_while_others_publish(self, make_broker: MakeBroker) -> None:
        """A message published while history is removed is either below the tombstone or still there."""
        one, other = await make_broker(), await make_broker()
        removed = 0

        async def publish_many() -> None:
            await publish(other, "news", *numbered(20))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish_many)
            removed = (await one.remove_history("news")).offset
        page = await one.read("news", removed, 100)
        assert all(not live.tombstone for live in page.messages)
        assert all(live.offset > removed for live in (await one.read("news", 0, 100)).messages[1:])

    async def test_many_heads(self, make_broker: MakeBroker) -> None:
        """More channels than one request can ask for have their heads, empty ones too."""
        broker = await make_broker()
        names = [f"c{number}" for number in range(1200)]
        offsets: dict[str, int] = {}

        async def fill(channels: list[str]) -> None:
            for name in channels:
                offsets[name] = (await publish(broker, name, "x"))[0]

        async with trio.open_nursery() as nursery:
            for start in range(50):
                nursery.start_soon(fill, names[start:1150:50])
        heads = await broker.heads(names)
        assert {name: head.offset for name, head in heads.items() if head.offset} == offsets
        assert len(heads) == len(names)
        assert all(head.up_to > 0 and head.epoch for head in heads.values())

    async def test_partitions(self, make_broker: MakeBroker) -> None:
        """A namespace over several streams stores and finds every channel."""
        one, other = await make_broker(), await make_broker()
        names = [f"split:{number}" for number in range(20)]
        offsets = {name: (await publish(one, name, "x"))[0] for name in names}
        heads = await other.heads([*names, "news"])
        assert {name: heads[name].offset for name in names} == offsets
        assert heads["news"].offset == 0
        page = await other.read(names[3], 0, 10)
        assert [live.offset for live in page.messages] == [offsets[names[3]]]

    async def test_namespace_without_history(self, make_broker: MakeBroker) -> None:
        """What is not kept cannot be stored in or asked for, and the answer says why."""
        broker = await make_broker()
        with pytest.raises(BrokerRejected, match="'plain' keeps no history"):
            await broker.heads(["$plain:private"])
        with pytest.raises(BrokerRejected, match="history_size"):
            await broker.publish("plain:a", Message(b"x"), HISTORY)
        with pytest.raises(BrokerRejected, match="unknown"):
            await broker.read("unknown:a", 0, 1)
        with pytest.raises(BrokerRejected, match="history_ttl"):
            await broker.remove_history("plain:a")

    async def test_epoch_is_the_streams(self, make_broker: MakeBroker) -> None:
        """Every node names the same epoch, in heads, pages and positions, and another one per namespace."""
        one, other = await make_broker(), await make_broker()
        position = await one.publish("news", Message(b"x"), HISTORY)
        assert position is not None
        heads = await other.heads(["news", "brief:a"])
        assert heads["news"].epoch == position.epoch == (await one.remove_history("news")).epoch
        assert heads["brief:a"].epoch != position.epoch
