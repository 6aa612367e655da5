"""What makes a stream of NATS another epoch, and what does not, over a real server that loses things."""

from typing import Any

import pytest
import trio

from node.broker.interface import BrokerUnavailable, Message
from node.broker.nats.broker import NatsBroker
from tests.contracts.broker import HISTORY, Inbox, numbered, publish, until
from tests.nats_server import NatsServer
from tests.node.broker.nats.conftest import ONE, Brokers


async def test_recreated_stream_is_a_new_epoch(make_broker: Any, prefix: str) -> None:
    """A removed stream is made again before the next answer, in a new epoch, and the node is told."""
    one, other = await make_broker(), await make_broker()
    before = await one.publish("news", Message(b"x"), HISTORY)
    await other.heads(["news"])
    await one.feed.request(f"$JS.API.STREAM.DELETE.{prefix}-_-0", b"", deadline_s=5)
    after = await one.publish("news", Message(b"y"), HISTORY)
    assert after.epoch != before.epoch
    head = (await other.heads(["news"]))["news"]
    assert (head.offset, head.epoch) == (after.offset, after.epoch)
    for broker in (one, other):
        assert broker.recorder.epochs == [("", after.epoch)]
        assert broker.keeper.epoch_changes == 1


def broken(broker: NatsBroker) -> Any:
    """A condition: the node has noticed that its server is gone."""

    async def condition() -> bool:
        return not broker.connected

    return condition


async def lose_disk(server: NatsServer) -> None:
    """The server comes back with its streams and without their messages."""
    server.kill()
    for blocks in server.store_dir.glob("jetstream/*/streams/*/msgs"):
        for file in blocks.iterdir():
            file.unlink()
    await trio.to_thread.run_sync(server.start)


async def test_a_server_that_lost_its_disk_is_a_new_epoch(server: NatsServer, connect: Brokers) -> None:
    """A stream whose messages are gone keeps its creation time and is a new epoch all the same."""
    broker = await connect(server.url, namespaces=ONE)
    before = (await publish(broker, "news", *numbered(5)))[-1]
    epoch = (await broker.heads(["news"]))["news"].epoch
    await lose_disk(server)
    page = await broker.read("news", before, 10)
    assert page.head.epoch != epoch
    assert page.head.up_to < before
    assert broker.recorder.epochs == [("", page.head.epoch)]


async def test_memory_storage_after_a_restart_is_a_new_epoch(server: NatsServer, connect: Brokers) -> None:
    """Streams in memory start again at 1 with their server, and positions of before mean nothing."""
    broker = await connect(server.url, stream_storage="memory")
    before = await broker.publish("news", Message(b"x"), HISTORY)
    assert before is not None
    server.kill()
    await trio.to_thread.run_sync(server.start)
    after = await broker.publish("news", Message(b"y"), HISTORY)
    assert after is not None
    assert after.epoch != before.epoch


async def test_a_stream_that_lost_its_end_is_a_new_epoch(server: NatsServer, connect: Brokers) -> None:
    """The marker survived, but a sequence this node has seen did not: it would be given out twice."""
    broker = await connect(server.url, namespaces=ONE)
    (first,) = await publish(broker, "news", "kept")
    epoch = (await broker.heads(["news"]))["news"].epoch
    server.stop()
    saved = {file: file.read_bytes() for file in server.store_dir.rglob("*") if file.is_file()}
    await trio.to_thread.run_sync(server.start)
    await publish(broker, "news", *numbered(5))
    server.kill()
    for file in [file for file in server.store_dir.rglob("*") if file.is_file()]:
        file.unlink()
    for file, content in saved.items():
        file.write_bytes(content)
    await trio.to_thread.run_sync(server.start)
    page = await broker.read("news", first, 10)
    assert page.head.epoch != epoch
    assert broker.recorder.epochs == [("", page.head.epoch)]


async def test_a_restart_that_loses_nothing_keeps_the_epoch(server: NatsServer, connect: Brokers) -> None:
    """An orderly restart of the server costs no position, and subscriptions are in force again."""
    broker, inbox = await connect(server.url), Inbox()
    await broker.subscribe("news", inbox.deliver)
    before = await broker.publish("news", Message(b"x"), HISTORY)
    assert before is not None
    server.stop()
    await until(broken(broker))
    with pytest.raises(BrokerUnavailable):
        await broker.publish("news", Message(b"lost"), None)
    await trio.to_thread.run_sync(server.start)
    after = await broker.publish("news", Message(b"y"), HISTORY)
    assert after is not None
    assert after.epoch == before.epoch
    await inbox.wait(2)
    assert inbox.data == [b"x", b"y"]
    assert (broker.recorder.broken, broker.recorder.restored) == (1, 2)
    assert (await broker.read("news", before.offset, 10)).complete
