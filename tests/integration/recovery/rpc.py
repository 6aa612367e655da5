"""Clients of gRPC, of grpcio's synchronous kind, which the nodes do not use; and of gRPC-Web, by hand."""

import json
import math
import queue
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import trio

from protos import client_pb2, edge_pb2
from tests.integration.cluster import NodeProcess
from tests.integration.recovery.clients import (
    Facts,
    Note,
    Protobuf,
    Refused,
    http,
    wanted_from,
)
from tests.integration.recovery.judge import Position, Record, Seen, Subscribed

_EDGE = "/broadcast.edge.v1.Edge/"
# The flag of the frame that carries the trailers (the gRPC-Web protocol, "HTTP/2 related differences").
_TRAILERS = 0x80
_FRAME_HEAD_BYTES = 5


class _Events:
    """What a `Subscribe` is asked for, and what its events mean.

    Args:
        records: what the client has.
        note: for what it hears.
    """

    def __init__(self, records: dict[str, Record], note: Note) -> None:
        self._wanted = wanted_from(records)
        self._note = note
        self._gaps = {channel for channel, position in self._wanted.items() if position is not None}

    def request(self) -> bytes:
        """The channels, each from where the client stands."""
        request = edge_pb2.SubscribeRequest()
        for channel, position in self._wanted.items():
            asked = request.channels.add(channel=channel)
            if position is not None:
                asked.since.epoch, asked.since.offset = position
        return request.SerializeToString()

    def take(self, response: edge_pb2.SubscribeResponse) -> None:
        """Note a response; one without events is a ping."""
        facts: Facts = []
        for event in response.events:
            if event.HasField("subscribed"):
                told = event.subscribed
                position, since = (
                    Position(told.position.epoch, told.position.offset),
                    self._wanted[told.channel],
                )
                if told.recovered:
                    self._gaps.discard(told.channel)
                facts.append((told.channel, Subscribed(position, since, told.recovered)))
            elif event.HasField("publication"):
                publication = event.publication
                # Either everything since the position follows, or the gap was named before it.
                assert publication.channel not in self._gaps, publication
                facts.append(
                    (publication.channel, Seen(publication.offset, str(json.loads(publication.data))))
                )
            elif event.gap.channel:
                self._gaps.discard(event.gap.channel)
            else:
                raise Refused("a gap in every channel")
        self._note(facts)


async def subscribe(node: NodeProcess, records: dict[str, Record], note: Note) -> None:
    """`Subscribe` of a node that serves gRPC."""
    events = _Events(records, note)

    def call(channel: grpc.Channel) -> Any:
        method = channel.unary_stream(_EDGE + "Subscribe", _serialized, edge_pb2.SubscribeResponse.FromString)
        return method(events.request())

    async with _responses(node, call) as responses:
        async for response in responses:
            events.take(response)


async def connect(node: NodeProcess, records: dict[str, Record], note: Note) -> None:
    """`Connect`: the client protocol, one message per command and reply."""
    protobuf = Protobuf(records, note)
    commands: queue.SimpleQueue[client_pb2.Command | None] = queue.SimpleQueue()
    for command in protobuf.commands():
        commands.put(command)

    def call(channel: grpc.Channel) -> Any:
        method = channel.stream_stream(_EDGE + "Connect", _serialized, client_pb2.Reply.FromString)
        return method(iter(commands.get, None))

    try:
        async with _responses(node, call) as replies:
            async for reply in replies:
                if protobuf.is_ping(reply):
                    commands.put(client_pb2.Command())
    finally:
        commands.put(None)


def _serialized(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


@asynccontextmanager
async def _responses(
    node: NodeProcess, call_of: Callable[[grpc.Channel], Any]
) -> AsyncIterator[trio.MemoryReceiveChannel[Any]]:
    """The responses of a call on a connection of its own, which ends with the context."""
    send, receive = trio.open_memory_channel[Any](math.inf)
    with grpc.insecure_channel(node.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = call_of(channel)

        def read() -> None:
            try:
                for response in call:
                    trio.from_thread.run_sync(send.send_nowait, response)
            except grpc.RpcError as error:
                if call.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    raise
                raise Refused(str(call.details())) from error

        async def reading() -> None:
            with send:
                await trio.to_thread.run_sync(read)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reading)
            try:
                yield receive
            finally:
                # Ends the thread too.
                call.cancel()


async def web_subscribe(node: NodeProcess, records: dict[str, Record], note: Note) -> None:
    """`Subscribe` over gRPC-Web, of a node that serves HTTP."""
    events, received = _Events(records, note), bytearray()

    def data_came(data: bytes) -> None:
        received.extend(data)
        while len(received) >= _FRAME_HEAD_BYTES:
            end = _FRAME_HEAD_BYTES + int.from_bytes(received[1:_FRAME_HEAD_BYTES], "big")
            if len(received) < end:
                return
            flag, message = received[0], bytes(received[_FRAME_HEAD_BYTES:end])
            del received[:end]
            if flag & _TRAILERS:
                assert b"grpc-status: 14" in message or b"grpc-status:14" in message, message
                raise Refused(message.decode())
            events.take(edge_pb2.SubscribeResponse.FromString(message))

    request = events.request()
    body = b"\0" + len(request).to_bytes(4, "big") + request
    headers = {"Content-Type": "application/grpc-web+proto"}
    await http(node, "POST", _EDGE + "Subscribe", data_came, headers, body)
