"""The edge's calls that are no sessions, with a fake of grpc's context."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import grpc
import jwt
import pytest
import trio

from node.broker.interface import BrokerUnavailable
from node.grpc.calls import Calls
from node.grpc.gate import Gate, Handler
from node.grpc.loop import TrioTasks, in_asyncio, run
from protos import edge_pb2
from tests.node.grpc.contexts import Aborted, FakeContext
from tests.node.node_in_memory import MemoryNode, memory_node
from tests.patience import PATIENCE_S

KEY = "k" * 32


def on_node(test: Callable[[MemoryNode, Calls], Awaitable[None]], **overrides: object) -> None:
    """Run a test of asyncio's kind against a memory node's calls."""

    async def main() -> None:
        with trio.fail_after(PATIENCE_S):
            async with memory_node(**overrides) as node, trio.open_nursery() as nursery:
                await in_asyncio(test, node, Calls(node.parts, TrioTasks(nursery)))

    run(main)


def message(channel: str, data: bytes = b"1") -> bytes:
    return edge_pb2.PublishRequest(channel=channel, data=data).SerializeToString()


async def status(node: MemoryNode, handler: Handler, request: bytes) -> str:
    context = FakeContext()
    with pytest.raises(Aborted):
        await Gate(node.parts).guarded(handler)(request, context)  # type: ignore[arg-type]
    assert context.status is not None
    return context.status[0]


def test_what_was_published_is_in_the_history() -> None:
    """As one call each."""

    async def test(node: MemoryNode, calls: Calls) -> None:
        for number in range(3):
            await calls.publish(message("a", b"%d" % number), FakeContext())  # type: ignore[arg-type]
        asked = edge_pb2.HistoryRequest(channel="a", limit=-1, reverse=True).SerializeToString()
        page = await calls.history(asked, FakeContext())  # type: ignore[arg-type]
        read = edge_pb2.HistoryResponse.FromString(page)
        assert [publication.data for publication in read.publications] == [b"2", b"1", b"0"]

    on_node(test)


def test_what_cannot_be_done_has_a_status() -> None:
    """Broken requests, closed channels, no history, and a broker that is away."""

    async def test(node: MemoryNode, calls: Calls) -> None:
        history = edge_pb2.HistoryRequest(channel="plain:a").SerializeToString()
        assert await status(node, calls.publish, b"\xff") == "INVALID_ARGUMENT"
        assert await status(node, calls.history, b"\xff") == "INVALID_ARGUMENT"
        assert await status(node, calls.publish, message("closed:a")) == "PERMISSION_DENIED"
        assert await status(node, calls.history, history) == "FAILED_PRECONDITION"

        async def away(*_: object, **__: object) -> None:
            raise BrokerUnavailable("away")

        node.publisher._broker.publish = away  # type: ignore[method-assign,assignment]
        assert await status(node, calls.publish, message("a")) == "UNAVAILABLE"

        async def hangs(*_: object, **__: object) -> None:
            await trio.sleep_forever()

        node.publisher._broker.publish = hangs  # type: ignore[method-assign,assignment]
        assert await status(node, calls.publish, message("a")) == "DEADLINE_EXCEEDED"

    on_node(test, client__command_deadline_s=0.05)


def test_a_summary_names_what_failed_and_where() -> None:
    """Places count from 0, and a failure does not end the stream."""

    async def test(node: MemoryNode, calls: Calls) -> None:
        context = FakeContext()
        for channel in ("a", "closed:a", "nowhere:a", "a"):
            context.send(message(channel))
        context.send(grpc.aio.EOF)
        answer = await calls.publish_stream(None, context)  # type: ignore[arg-type]
        summary = edge_pb2.PublishStreamResponse.FromString(answer)
        assert (summary.received, summary.accepted, summary.failed) == (4, 2, 2)
        assert [(f.index, f.channel, f.code) for f in summary.failures] == [
            (1, "closed:a", 103),
            (2, "nowhere:a", 102),
        ]

    on_node(test)


def test_a_message_that_cannot_be_taken_is_named_by_its_place() -> None:
    """Nobody could say which channel it was for; the summary has what was stored around it, too."""

    async def test(node: MemoryNode, calls: Calls) -> None:
        context = FakeContext()
        for sent in (message("a"), b"\xff", message("a", b"x" * 100), message("a"), grpc.aio.EOF):
            context.send(sent)
        answer = await calls.publish_stream(None, context)  # type: ignore[arg-type]
        summary = edge_pb2.PublishStreamResponse.FromString(answer)
        assert (summary.received, summary.accepted) == (4, 2)
        assert [(f.index, f.channel, f.code) for f in summary.failures] == [(1, "", 107), (2, "", 106)]
        assert "grpc_server.message_size_limit" in summary.failures[1].message
        assert dict(node.metrics.command_errors) == {107: 1, 106: 1}

    on_node(test, grpc_server__message_size_limit=50)


def test_a_node_that_leaves_ends_streams_with_what_it_has_taken() -> None:
    """The one that is being published is finished; the client knows which ones to send elsewhere."""

    async def test(node: MemoryNode, calls: Calls) -> None:
        context = FakeContext()
        context.send(message("a"))
        task = asyncio.create_task(calls.publish_stream(None, context))  # type: ignore[arg-type]
        await context.asked_for(2)
        calls.leave()
        summary = edge_pb2.PublishStreamResponse.FromString(await task)
        assert (summary.received, summary.accepted) == (1, 1)
        assert not calls._publishing

    on_node(test)


def test_a_stream_does_not_outlive_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came in time is in the summary; what comes later is not published, as it would not be alone."""

    async def test(node: MemoryNode, calls: Calls) -> None:
        token = jwt.encode({"sub": "ann", "exp": int(time.time()) + 1000}, KEY, "HS256")
        context = FakeContext(authorization=f"Bearer {token}")
        context.send(message("a"))
        task = asyncio.create_task(calls.publish_stream(None, context))  # type: ignore[arg-type]
        await context.asked_for(2)
        monkeypatch.setattr("node.grpc.calls.time", SimpleNamespace(time=lambda: time.time() + 1000))
        context.send(message("a"))
        summary = edge_pb2.PublishStreamResponse.FromString(await task)
        assert (summary.received, summary.accepted) == (1, 1)
        assert dict(node.metrics.refused) == {"expired": 1}

    on_node(test, client__token__hmac_secret_key=KEY)


def test_a_message_that_comes_as_the_node_leaves_is_not_published() -> None:
    """What the summary does not count nobody has: sent to another node, it is there once."""

    async def test(node: MemoryNode, calls: Calls) -> None:
        published: list[str] = []

        async def stores_and_waits(channel: str, *_: object, **__: object) -> None:
            published.append(channel)
            await trio.sleep_forever()

        node.publisher._broker.publish = stores_and_waits  # type: ignore[method-assign,assignment]
        context = FakeContext()
        task = asyncio.create_task(calls.publish_stream(None, context))  # type: ignore[arg-type]
        await context.asked_for(1)
        context.send(message("a"))
        calls.leave()
        summary = edge_pb2.PublishStreamResponse.FromString(await task)
        assert (summary.received, published) == (0, [])

    on_node(test)


def test_a_fault_of_ours_is_counted_and_is_no_clients_business() -> None:
    """Its text may be anything, a payload or a secret: clients hear that there was one, the log has it."""

    async def test(node: MemoryNode, calls: Calls) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise KeyError("what nobody outside may see")

        node.publisher._broker.publish = broken  # type: ignore[method-assign,assignment]
        context = FakeContext()
        with pytest.raises(Aborted):
            await Gate(node.parts).guarded(calls.publish)(message("a"), context)  # type: ignore[arg-type]
        assert context.status == ("INTERNAL", "internal server error", {"broadcast-code": "100"})
        assert node.metrics.failures == 1

    on_node(test)


def test_a_call_that_is_over_is_no_fault() -> None:
    """What grpc raises in the handler of a client that has gone is grpc's to deal with."""

    async def test(node: MemoryNode, _: Calls) -> None:
        async def over(*_: object) -> bytes:
            raise Aborted

        context = FakeContext()
        with pytest.raises(Aborted):
            await Gate(node.parts).guarded(over)(b"", context)  # type: ignore[arg-type]
        assert (context.status, node.metrics.failures) == (None, 0)

    on_node(test)
