"""How calls end for grpcio's own client: a whole gRPC port over a memory node, in one process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc
import jwt
import pytest
import trio
from msgspec import Raw

from node.api.methods import Api
from node.broker.interface import BrokerUnavailable
from node.grpc.entrance import open_grpc_entrance
from node.grpc.loop import in_asyncio, run
from node.protocol.messages import Publication
from node.readiness import Readiness
from protos import client_pb2, edge_pb2
from tests.node.node_in_memory import MemoryNode, memory_node
from tests.patience import PATIENCE_S

EDGE = "/broadcast.edge.v1.Edge/"
KEY = "k" * 32
LOCAL = {"http_server__address": "127.0.0.1", "http_server__port": 0}
LOCAL |= {"grpc_server__address": "127.0.0.1", "grpc_server__port": 0}


class Caller:
    """A client on a connection of its own.

    Args:
        port: of the node.
    """

    def __init__(self, port: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel: Any = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)
        self.metadata: tuple[tuple[str, str], ...] = ()

    def subscribe(self, *channels: str, timeout: float = PATIENCE_S) -> Any:
        """A stream, under way."""
        asked = [edge_pb2.ChannelRequest(channel=channel) for channel in channels]
        request = edge_pb2.SubscribeRequest(channels=asked).SerializeToString()
        return self.channel.unary_stream(EDGE + "Subscribe")(request, timeout=timeout, metadata=self.metadata)

    async def listening(self, *channels: str) -> Any:
        """A stream whose first channel is subscribed."""
        stream = self.subscribe(*channels)
        (event,) = edge_pb2.SubscribeResponse.FromString(await stream.read()).events
        assert event.subscribed.channel == channels[0]
        return stream

    async def connect(self) -> None:
        """The client protocol, which is to end by itself."""
        stream = self.channel.stream_stream(EDGE + "Connect")(metadata=self.metadata, timeout=PATIENCE_S)
        await stream.write(client_pb2.Command(id=1, connect={}).SerializeToString())
        await ended(stream)

    async def publish(self, channel: str) -> None:
        """Publish."""
        request = edge_pb2.PublishRequest(channel=channel, data=b"1").SerializeToString()
        await self._call("Publish", request)

    async def history(self, channel: str, epoch: str) -> None:
        """Read what came after a position."""
        request = edge_pb2.HistoryRequest(channel=channel, limit=-1, since={"epoch": epoch, "offset": 1})
        await self._call("History", request.SerializeToString())

    async def _call(self, method: str, request: bytes) -> None:
        call = self.channel.unary_unary(EDGE + method)
        await call(request, timeout=PATIENCE_S, metadata=self.metadata)


Test = Callable[[MemoryNode, Caller], Coroutine[Any, Any, None]]


def on_node(test: Test, **overrides: object) -> None:
    """Run a test of asyncio's kind with a client of a gRPC port; no session may be left."""

    async def main() -> None:
        with trio.fail_after(PATIENCE_S):
            async with memory_node(**LOCAL, **overrides) as node, trio.open_nursery() as nursery:
                api = Api(node.publisher, node.channels, node.broker, node.rules, list, node.metrics)
                readiness = Readiness(node.broker, PATIENCE_S, lambda: "")
                entrance = open_grpc_entrance(node.parts, api, readiness)
                await nursery.start(entrance.serve)
                caller = await in_asyncio(open_caller, entrance.grpc_port)
                await in_asyncio(test, node, caller)
                while len(node.parts.sessions):  # noqa: ASYNC110 - they tell nobody
                    await trio.sleep(0.01)
                await in_asyncio(caller.channel.close)
                await entrance.stop()
                nursery.cancel_scope.cancel()

    async def open_caller(port: int) -> Caller:
        return Caller(port)

    run(main)


async def ended(stream: Any) -> None:
    """Read to the end; raises what is not OK."""
    while await stream.read() is not grpc.aio.EOF:
        pass


async def status(call: Awaitable[Any]) -> tuple[str, str, bool]:
    """A failed call's status, the client protocol's code, and whether it says when to come back."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    trailing = dict(failed.value.trailing_metadata() or ())
    hint = trailing.get("retry-after-ms")
    assert hint is None or 500 <= int(hint) <= 1500
    return failed.value.code().name, trailing.get("broadcast-code", ""), hint is not None


def token(seconds: float) -> str:
    return jwt.encode({"sub": "ann", "exp": int(time.time() + seconds)}, KEY, "HS256")


def test_who_has_no_token_where_one_is_needed_is_unauthenticated() -> None:
    """In every form of a call."""

    async def test(_: MemoryNode, caller: Caller) -> None:
        assert await status(ended(caller.subscribe("a"))) == ("UNAUTHENTICATED", "3501", False)
        assert await status(caller.connect()) == ("UNAUTHENTICATED", "3501", False)
        assert await status(caller.publish("a")) == ("UNAUTHENTICATED", "3501", False)

    on_node(test, client__allow_anonymous_connect_without_token=False)


def test_a_stream_whose_token_expires_ends_unauthenticated() -> None:
    """It was good when the stream began."""

    async def test(_: MemoryNode, caller: Caller) -> None:
        caller.metadata = (("authorization", f"Bearer {token(2)}"),)
        # 109 on a machine so busy that it had expired before.
        code, number, hint = await status(ended(caller.subscribe("a")))
        assert (code, number in {"3005", "109"}, hint) == ("UNAUTHENTICATED", True, False)

    on_node(test, client__token__hmac_secret_key=KEY, client__expired_close_delay="0s")


def test_too_many_of_something_is_resource_exhausted() -> None:
    """Channels of one stream, and streams of one user."""

    async def test(_: MemoryNode, caller: Caller) -> None:
        caller.metadata = (("authorization", f"Bearer {token(PATIENCE_S)}"),)
        assert await status(ended(caller.subscribe("a", "b"))) == ("RESOURCE_EXHAUSTED", "106", False)
        stream = await caller.listening("a")
        assert await status(ended(caller.subscribe("a"))) == ("RESOURCE_EXHAUSTED", "3504", False)
        stream.cancel()

    limits = {"client__channel_limit": 1, "client__user_connection_limit": 1}
    on_node(test, client__token__hmac_secret_key=KEY, **limits)


def test_a_position_of_another_epoch_is_out_of_range() -> None:
    """History cannot be read on from there."""

    async def test(_: MemoryNode, caller: Caller) -> None:
        await caller.publish("a")
        assert await status(caller.history("a", "another")) == ("OUT_OF_RANGE", "112", False)

    on_node(test)


def test_a_broker_that_is_away_is_unavailable_and_one_that_hangs_is_too_late() -> None:
    """Who may simply come again is told when; after the node's own deadline nobody knows."""

    async def test(node: MemoryNode, caller: Caller) -> None:
        async def away(*_: object, **__: object) -> None:
            raise BrokerUnavailable("away")

        async def hangs(*_: object, **__: object) -> None:
            await trio.sleep_forever()

        node.publisher._broker.publish = away  # type: ignore[method-assign]
        assert await status(caller.publish("a")) == ("UNAVAILABLE", "100", True)
        node.publisher._broker.publish = hangs  # type: ignore[method-assign]
        assert await status(caller.publish("a")) == ("DEADLINE_EXCEEDED", "100", False)

    on_node(test, client__command_deadline_s=0.05)


@pytest.mark.parametrize("limit", ["connection_rate_limit", "connection_limit"])
def test_whom_the_node_cannot_take_now_is_told_when_to_come_again(limit: str) -> None:
    """More newcomers per second, or more streams, than it takes."""

    async def test(_: MemoryNode, caller: Caller) -> None:
        streams, refused = [], False
        while not refused:
            streams.append(caller.subscribe("a"))
            try:
                await streams[-1].read()
            except grpc.aio.AioRpcError:
                refused = True
        assert await status(ended(streams[-1])) == ("UNAVAILABLE", "", True)
        for stream in streams:
            stream.cancel()

    on_node(test, **{f"client__{limit}": 1})


def test_an_old_stream_is_sent_away() -> None:
    """After `client.connection_age_max_s`, as if the node left: its client goes on elsewhere."""

    async def test(_: MemoryNode, caller: Caller) -> None:
        assert await status(ended(caller.subscribe("a"))) == ("UNAVAILABLE", "3001", True)

    on_node(test, client__connection_age_max_s="200ms")


@pytest.mark.parametrize("how", ["CANCELLED", "DEADLINE_EXCEEDED"])
def test_what_a_client_ends_is_ended_here_too(how: str) -> None:
    """Cancelled or after its own deadline: nothing is left of the session."""

    async def test(node: MemoryNode, caller: Caller) -> None:
        patient = await caller.listening("a")
        stream = caller.subscribe("a", timeout=0.5 if how == "DEADLINE_EXCEEDED" else PATIENCE_S)
        if how == "CANCELLED":
            await stream.read()
            stream.cancel()
        assert await stream.code() is grpc.StatusCode[how]
        while len(node.parts.sessions) > 1:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.01)
        node.hub.publish("a", Publication(data=Raw(b"1")))
        (event,) = edge_pb2.SubscribeResponse.FromString(await patient.read()).events
        assert event.publication.data == b"1"
        patient.cancel()

    on_node(test)
