"""Over how many streams a namespace is spread: nodes agree on it, whatever their configurations say."""

from typing import Any

import pytest
import structlog
import trio

from node.broker.interface import BrokerError, Message
from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats.epoch import decode_marker
from node.broker.nats.jetstream import JetStream
from node.broker.nats.keeper import new_marker_id
from node.broker.nats.spreading import Spread, found, respread
from node.broker.nats.streams import apply, wanted
from node.broker.nats.subjects import Partition, Subjects
from node.config.options import NatsOptions
from tests.contracts.broker import HISTORY, Inbox, publish, until

CHANNELS = [f"room{number}" for number in range(12)]


def spread_over(count: int) -> Namespaces:
    return Namespaces({"": NamespaceStore(HISTORY, count)})


class Operator:
    """Runs what `broadcast streams apply` does."""

    def __init__(self, broker: Any, prefix: str) -> None:
        self.jetstream = JetStream(broker.feed)
        self.subjects = Subjects(prefix, Namespaces())
        self.options = NatsOptions(prefix=prefix)

    async def found(self, count: int) -> Spread:
        return await found(self.jetstream, self.subjects, "", count, deadline_s=5)

    async def respread(self, count: int, settling_s: float = 0.3) -> None:
        numbers = (await self.found(count)).numbers
        await respread(
            self.jetstream,
            self.subjects,
            "",
            numbers,
            count,
            new_id=new_marker_id,
            deadline_s=5,
            settling_s=settling_s,
        )

    async def apply(self, count: int) -> None:
        for number in range(count):
            partition = Partition("", number)
            await apply(
                self.jetstream,
                wanted(self.subjects, partition, HISTORY, self.options),
                marker_subject=self.subjects.marker(partition),
                new_id=new_marker_id,
                deadline_s=5,
            )


async def follows(broker: Any, count: int) -> None:
    """Wait until a node has heard that the namespace is spread over so many streams."""

    async def followed() -> bool:
        return len(broker.keeper.streams) == count and not broker.keeper.unusable()

    await until(followed)


@pytest.mark.parametrize(("first", "then"), [(1, 4), (4, 1), (3, 5)])
async def test_the_streams_say_how_many_they_are(make_broker: Any, first: int, then: int) -> None:
    """A node with another number follows: what it stores is found, what it hears is all, nothing is new."""
    one = await make_broker(namespaces=spread_over(first))
    before = {name: await publish(one, name, "A") for name in CHANNELS}
    inbox = Inbox()
    await one.subscribe(CHANNELS[0], inbox.deliver)
    with structlog.testing.capture_logs() as logs:
        other = await make_broker(namespaces=spread_over(then))
        elsewhere = Inbox()
        await other.subscribe(CHANNELS[0], elsewhere.deliver)
        await follows(other, first)
    assert [entry["partitions"] for entry in logs if "streams apply" in entry["event"]] == [first]
    after = {name: await publish(other, name, "B") for name in CHANNELS}
    for name in CHANNELS:
        page = await one.read(name, before[name][0], 10)
        assert ([live.offset for live in page.messages], page.complete) == (after[name], True)
    await publish(one, CHANNELS[0], "C")
    for each in (inbox, elsewhere):
        await each.wait(2)
        assert each.data == [b"B", b"C"]
    assert one.recorder.epochs == []
    assert one.keeper.created == first
    assert other.keeper.created == 0


async def test_a_read_finds_the_stream_of_its_channel(make_broker: Any) -> None:
    """The very first question of a node with another number is asked of the right stream."""
    one = await make_broker(namespaces=spread_over(1))
    offsets = {name: await publish(one, name, "A") for name in CHANNELS}
    other = await make_broker(namespaces=spread_over(7))
    heads = await other.heads(CHANNELS)
    assert {name: [head.offset] for name, head in heads.items()} == offsets
    third = await make_broker(namespaces=spread_over(7))
    for name in CHANNELS:
        assert [live.offset for live in (await third.read(name, 0, 10)).messages] == offsets[name]


async def test_going_there_and_back_ends_every_epoch(make_broker: Any, prefix: str) -> None:
    """What was stored while there were others is not taken for nothing: positions of before prove nothing."""
    broker = await make_broker(namespaces=spread_over(1))
    operator = Operator(broker, prefix)
    before = {name: await broker.publish(name, Message(b"A"), HISTORY) for name in CHANNELS}
    epochs = {position.epoch for position in before.values()}
    for count in (4, 1):
        await operator.respread(count, settling_s=0)
        await operator.apply(count)
        await follows(broker, count)
        for name in CHANNELS:
            position = await broker.publish(name, Message(b"B"), HISTORY)
            assert position.epoch not in epochs
        epochs |= {stream.epoch for stream in broker.keeper.streams.values()}
    assert ("", "") in broker.recorder.epochs
    assert await operator.found(1) == Spread([0, 1, 2, 3], 1, [])
    # The ones too many take nothing, not even from who publishes without us.
    with pytest.raises(BrokerError, match="nobody answers"):
        await operator.jetstream.store(f"{prefix}.store._.3.a", b"x", b"", deadline_s=5)


async def test_streams_of_before_are_used_again_in_a_new_epoch(make_broker: Any, prefix: str) -> None:
    """A stream that was one too many begins anew; its old messages stay where they are."""
    broker = await make_broker(namespaces=spread_over(2))
    operator = Operator(broker, prefix)
    await broker.heads(CHANNELS)
    before = broker.keeper.streams[Partition("", 1)].epoch
    for count in (1, 2):
        await operator.respread(count, settling_s=0)
        await operator.apply(count)
        await follows(broker, count)
    await broker.heads(CHANNELS)
    assert broker.keeper.streams[Partition("", 1)].epoch not in ("", before)


async def test_nothing_accepted_is_missed_while_the_number_changes(make_broker: Any, prefix: str) -> None:
    """Once a node was told nothing is stored by the old number; once all were, each hears everything."""
    nodes = [await make_broker(namespaces=spread_over(1))]
    await follows(nodes[0], 1)
    nodes += [await make_broker(namespaces=spread_over(count)) for count in (4, 2)]
    operator = Operator(nodes[0], prefix)
    inboxes = {(node, name): Inbox() for node in range(3) for name in CHANNELS}
    for (number, name), inbox in inboxes.items():
        await nodes[number].subscribe(name, inbox.deliver)
    for node in nodes:
        await follows(node, 1)
        node.recorder.epochs.clear()
    accepted = 0
    stopping = False
    # The epochs in which something was stored, and what was, after the first node, and all nodes were told.
    after_the_first: set[str] = set()
    after_all: dict[str, set[bytes]] = {name: set() for name in CHANNELS}

    async def keep_publishing(node: int) -> None:
        nonlocal accepted
        number = 0
        while not stopping:
            number += 1
            name, data = CHANNELS[number % len(CHANNELS)], b"%d.%d" % (node, number)
            told = [bool(each.recorder.epochs) for each in nodes]
            position = await nodes[node].publish(name, Message(data), HISTORY)
            accepted += 1
            if any(told):
                after_the_first.add(position.epoch)
            if all(told):
                after_all[name].add(data)

    async def reached(count: int) -> bool:
        return accepted >= count

    async with trio.open_nursery() as nursery:
        for node in range(3):
            nursery.start_soon(keep_publishing, node)
        await until(lambda: reached(100))
        await operator.respread(4)
        await operator.apply(4)
        for node in nodes:
            await follows(node, 4)
        changed_at = accepted
        await until(lambda: reached(changed_at + 300))
        stopping = True
    assert all(("", "") in node.recorder.epochs for node in nodes)
    assert after_the_first == {stream.epoch for stream in nodes[0].keeper.streams.values()}
    for (_, name), inbox in inboxes.items():

        async def heard(inbox: Inbox = inbox, name: str = name) -> bool:
            return after_all[name] <= set(inbox.data)

        await until(heard)


async def test_a_marker_that_does_not_say_is_completed(make_broker: Any, prefix: str) -> None:
    """Streams of an earlier version are taken as configured, and no position is lost by that."""
    broker = await make_broker(namespaces=spread_over(2))
    operator = Operator(broker, prefix)
    position = await broker.publish("a", Message(b"A"), HISTORY)
    for number in range(2):
        marker = operator.subjects.marker(Partition("", number))
        stream = operator.subjects.stream(Partition("", number))
        stored = await operator.jetstream.newest(stream, marker, deadline_s=5)
        old = b'{"id":"%s","limit":5}' % decode_marker(stored.payload).id.encode()
        await operator.jetstream.store(marker, old, b"", deadline_s=5)
    assert (await operator.found(2)).partitions == 2
    other = await make_broker(namespaces=spread_over(2))
    await follows(other, 2)
    assert (await other.publish("a", Message(b"B"), HISTORY)).epoch == position.epoch
    assert (await operator.found(1)).partitions == 2
