"""The handlers of streams, with a fake of grpc's context: what they write, how they end, what they leave."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
import trio
from msgspec import Raw

from node.grpc.gate import Gate
from node.grpc.loop import TrioTasks, in_asyncio, run
from node.grpc.streams import Streams
from node.protocol.messages import Publication
from node.protocol.reasons import INSUFFICIENT_STATE, SHUTDOWN
from protos import client_pb2, edge_pb2, unistream_pb2
from tests.node.grpc.contexts import Aborted, FakeContext
from tests.node.node_in_memory import MemoryNode, memory_node
from tests.patience import PATIENCE_S

Test = Callable[[MemoryNode, Streams], Awaitable[None]]


def on_node(test: Test, **overrides: object) -> None:
    """Run a test of asyncio's kind against a memory node's streams; no task and no session may be left."""

    async def main() -> None:
        with trio.fail_after(PATIENCE_S):
            async with memory_node(**overrides) as node, trio.open_nursery() as nursery:
                streams = Streams(node.parts, TrioTasks(nursery))
                await in_asyncio(checked, node, streams)

    async def checked(node: MemoryNode, streams: Streams) -> None:
        others = asyncio.all_tasks()
        await test(node, streams)
        async with asyncio.timeout(PATIENCE_S):
            while left := asyncio.all_tasks() - others:
                await asyncio.wait(left)
        assert len(node.parts.sessions) == 0
        assert node.hub.channels == 0

    run(main)


def subscribe(streams: Streams, *channels: str, **metadata: str) -> tuple[FakeContext, "asyncio.Task[bytes]"]:
    """A `Subscribe`, under way."""
    context = FakeContext(**metadata)
    asked = [edge_pb2.ChannelRequest(channel=channel) for channel in channels]
    message = edge_pb2.SubscribeRequest(channels=asked).SerializeToString()
    return context, asyncio.create_task(streams.subscribe(message, context))  # type: ignore[arg-type]


async def events(context: FakeContext, count: int) -> list[Any]:
    """The next messages' events."""
    messages = await context.take(count)
    return [event for message in messages for event in edge_pb2.SubscribeResponse.FromString(message).events]


async def ended(task: "asyncio.Task[bytes]", context: FakeContext) -> tuple[str, str]:
    """How a call ended: its status, and the protocol's code."""
    with pytest.raises(Aborted):
        async with asyncio.timeout(PATIENCE_S):
            await task
    assert context.status is not None
    return context.status[0], context.status[2].get("broadcast-code", "")


def test_a_stream_delivers_until_its_client_goes_away() -> None:
    """Its handler is cancelled by grpc then; nothing is left of the session."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        context, task = subscribe(streams, "a", "b")
        told = [event.subscribed.channel for event in await events(context, 2)]
        assert told == ["a", "b"]
        node.hub.publish("b", Publication(data=Raw(b"1")))
        (event,) = await events(context, 1)
        assert event.publication.data == b"1"
        task.cancel()
        await asyncio.wait([task])

    on_node(test)


def test_a_closed_session_ends_its_stream_with_the_reason() -> None:
    """After everything queued; that something may be missing is an event too."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        for reason, gaps in ((SHUTDOWN, 0), (INSUFFICIENT_STATE, 1)):
            context, task = subscribe(streams, "a")
            await events(context, 1)
            (session,) = node.parts.sessions
            session.close(reason)
            assert await ended(task, context) == ("UNAVAILABLE", str(reason.code))
            assert len(await events(context, gaps)) == gaps

    on_node(test)


def test_a_client_that_does_not_read_is_let_go() -> None:
    """The status does not wait for what grpc does not take, and neither does the session's end."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        context, task = subscribe(streams, "a")
        await events(context, 1)
        context.open.clear()
        while not node.metrics.slow_clients:
            node.hub.publish("a", Publication(data=Raw(b"x" * 400)))
            await asyncio.sleep(0)
        assert await ended(task, context) == ("RESOURCE_EXHAUSTED", "3008")
        assert len(node.parts.sessions) == 0
        assert node.metrics.slow_clients == 1
        context.open.set()

    on_node(test, client__queue_max_size=1000)


def test_a_recovery_over_connect_may_be_longer_than_a_message() -> None:
    """No message is more than a client's library takes; all that was missed comes, then what is new."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        publish = TrioTasks(node.parts.writers.nursery).run
        for number in range(6):
            await publish(node.publisher.publish, "a", b'"%d%s"' % (number, b"x" * 900_000))
        context = FakeContext()
        task = asyncio.create_task(streams.connect(None, context))  # type: ignore[arg-type]
        subscribe = client_pb2.SubscribeRequest(channel="a")
        context.send(client_pb2.Command(id=1, connect={}).SerializeToString())
        context.send(client_pb2.Command(id=2, subscribe=subscribe).SerializeToString())
        top = client_pb2.Reply.FromString((await context.take(2))[1]).subscribe
        subscribe = client_pb2.SubscribeRequest(channel="a", recover=True, epoch=top.epoch, offset=1)
        context.send(client_pb2.Command(id=3, unsubscribe={"channel": "a"}).SerializeToString())
        context.send(client_pb2.Command(id=4, subscribe=subscribe).SerializeToString())
        _, *messages = await context.take(8)
        assert max(map(len, messages)) < 4 * 1024 * 1024
        reply, *pushes = map(client_pb2.Reply.FromString, messages)
        assert (reply.id, reply.subscribe.recovered, reply.subscribe.offset) == (4, True, 1)
        assert [(push.push.channel, push.push.pub.data[1:2]) for push in pushes] == [
            ("a", b"%d" % number) for number in range(6)
        ]
        await publish(node.publisher.publish, "a", b'"new"')
        (message,) = await context.take(1)
        assert client_pb2.Reply.FromString(message).push.pub.data == b'"new"'
        context.send(grpc.aio.EOF)
        assert await task == b""

    on_node(test)


def test_the_client_protocol_is_served_in_order_to_a_good_end() -> None:
    """The metadata's token stands in for the command's; the client's last message ends the session well."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        context = FakeContext()
        task = asyncio.create_task(streams.connect(None, context))  # type: ignore[arg-type]
        context.send(client_pb2.Command(id=1, connect={}).SerializeToString())
        context.send(client_pb2.Command(id=2, subscribe={"channel": "a"}).SerializeToString())
        context.send(grpc.aio.EOF)
        replies = [client_pb2.Reply.FromString(message) for message in await context.take(2)]
        assert [reply.id for reply in replies] == [1, 2]
        assert await task == b""
        assert context.status is None

    on_node(test)


@pytest.mark.parametrize("message", [b"\xff", b"\x00" * 70_000])
def test_what_is_no_command_ends_the_stream(message: bytes) -> None:
    """Broken, or too long."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        context = FakeContext()
        task = asyncio.create_task(streams.connect(None, context))  # type: ignore[arg-type]
        context.send(message)
        assert await ended(task, context) == ("INVALID_ARGUMENT", "3501")
        assert node.metrics.protocol_errors == 1

    on_node(test)


def test_a_unidirectional_client_connects_with_the_metadatas_token() -> None:
    """A bad one is told in the stream, as that service's clients expect, and by the status."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        context = FakeContext(authorization="Bearer nonsense")
        task = asyncio.create_task(streams.consume(b"", context))  # type: ignore[arg-type]
        assert await ended(task, context) == ("UNAUTHENTICATED", "3500")
        (push,) = await context.take(1)
        assert unistream_pb2.Push.FromString(push).disconnect.code == 3500

    on_node(test)


def test_a_certificates_name_is_the_user() -> None:
    """For streams whose client shows no token, even where strangers are not let in."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        context = FakeContext()
        context.common_name = "turbine-7"
        message = edge_pb2.SubscribeRequest(channels=[{"channel": "a"}]).SerializeToString()
        task = asyncio.create_task(streams.subscribe(message, context))  # type: ignore[arg-type]
        await events(context, 1)
        (session,) = node.parts.sessions
        assert session.user == "turbine-7"  # type: ignore[attr-defined]
        task.cancel()
        await asyncio.wait([task])
        stranger, task = subscribe(streams, "a")
        assert await ended(task, stranger) == ("UNAUTHENTICATED", "3501")

    on_node(test, client__allow_anonymous_connect_without_token=False)


def test_a_node_that_takes_nobody_says_so_before_anything_else() -> None:
    """The gate answers for every kind of stream, with the time to wait."""

    async def test(node: MemoryNode, streams: Streams) -> None:
        parts = replace_refusal(node)
        refusing = Streams(parts, streams._trio)
        guarded = Gate(parts).guarded(refusing.connect)
        context = FakeContext()
        with pytest.raises(Aborted):
            await guarded(None, context)  # type: ignore[arg-type]
        assert context.status is not None
        assert context.status[0] == "UNAVAILABLE"
        assert "retry-after-ms" in context.status[2]
        assert node.metrics.refused["not_accepting"] == 1

    on_node(test)


def replace_refusal(node: MemoryNode) -> Any:
    """The node's parts, as if it left."""
    return replace(node.parts, refusal=lambda: "not_accepting")
