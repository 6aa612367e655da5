"""A node without its launcher: real parts on the memory broker, behind a real door on a loopback port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from msgspec.structs import replace

from node.config.options import (
    ChannelsOptions,
    ClientOptions,
    Config,
    Duration,
    HttpServerOptions,
    Namespace,
)
from node.config.transports import (
    EmulationOptions,
    GrpcWebOptions,
    HttpStreamOptions,
    SseOptions,
    UniHttpStreamOptions,
    UniWebSocketOptions,
    WebSocketOptions,
)
from node.door.connection import Connection
from node.door.door import Door
from node.door.head import Head
from node.protocol.reasons import DisconnectReason
from node.session import Parts
from node.transports.routes import routes
from tests.node.node_in_memory import MemoryNode
from tests.patience import PATIENCE_S

CONFIG = Config(
    client=ClientOptions(insecure=True, allowed_origins=("https://good.example",)),
    channel=ChannelsOptions(
        namespaces=(
            Namespace(name="past", history_size=10, history_ttl=Duration(60), force_recovery=True),
            Namespace(name="open", allow_subscribe_for_client=True),
        )
    ),
    http_server=HttpServerOptions(address="127.0.0.1", port=0),
    websocket=WebSocketOptions(message_size_limit=10_000),
    uni_websocket=UniWebSocketOptions(enabled=True, message_size_limit=1_000),
    sse=SseOptions(enabled=True),
    http_stream=HttpStreamOptions(enabled=True, max_request_body_size=10_000),
    emulation=EmulationOptions(max_request_body_size=10_000),
    uni_http_stream=UniHttpStreamOptions(enabled=True),
    grpc_web=GrpcWebOptions(enabled=True),
)


@dataclass(slots=True)
class Served:
    """A node as its tests see it."""

    port: int
    parts: Parts
    # Whether it is in rotation.
    open: bool = True
    streams: list[trio.SocketStream] = field(default_factory=list)

    async def connect(self) -> trio.SocketStream:
        """A client's connection; closed with the node at the latest."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.streams.append(stream)
        return stream

    async def publish(self, channel: str, data: bytes) -> None:
        """As a backend does."""
        await self.parts.publisher.publish(channel, data)

    def close_all(self, reason: DisconnectReason) -> None:
        """Tell every client to go."""
        for session in self.parts.sessions:
            session.close(reason)

    async def empty(self) -> None:
        """Return when the last session is gone."""
        while len(self.parts.sessions):  # noqa: ASYNC110 - they tell nobody
            # Not only a turn of the loop: with a clock that jumps when all are idle, time has to pass.
            await trio.sleep(0.01)


async def _no_such_path(connection: Connection, head: Head) -> bool:
    return await connection.answer(head, 404, "no such path", close=True)


@asynccontextmanager
async def served(client: ClientOptions | None = None) -> AsyncIterator[Served]:
    """Serve until the block ends; the block has PATIENCE_S.

    Args:
        client: instead of CONFIG's.
    """
    config = CONFIG if client is None else replace(CONFIG, client=client)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            node: Served
            memory = MemoryNode(config, nursery, leaves=lambda: not node.open)
            parts = memory.parts
            streams, websockets = routes(parts)
            door = Door(
                config.http_server, {**streams, **websockets}, _no_such_path, parts.timers, parts.metrics
            )
            await memory.start(nursery)
            ((_, port),) = await nursery.start(door.serve)
            node = Served(port, parts)
            try:
                yield node
            finally:
                for stream in node.streams:
                    stream.socket.close()
            assert parts.metrics.failures == 0
            nursery.cancel_scope.cancel()
