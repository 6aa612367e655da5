"""A TCP proxy in front of one part of the cluster: what goes over its link can be made slow, or stop.

One proxy per link, so that one node can be cut from NATS while the others are not. It runs in the event
loop of whoever uses it and knows nothing of what it carries. Bytes are delayed and held, never lost or
reordered, since that is all a network can do to a TCP connection; a connection that is cut is reset.
"""

import contextlib
import math
import random
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio

_CHUNK_BYTES = 65_536
# Chunks on their way in one direction of one connection; beyond that the sender is not read from.
_CHUNKS_MAX = 64
# SO_LINGER without time: closing resets the connection and drops what is queued (socket(7)).
_AT_ONCE = struct.pack("ii", 1, 0)
_CONNECT_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the network is like.

    Attributes:
        latency_s: added to every chunk, in each direction.
        jitter_s: up to so much more, differently for each chunk; their order stays.
        bytes_per_s: in each direction of each connection.
        held: nothing arrives and nobody is told: connections stay open, half open to both sides, and new
            ones are accepted by nobody but the kernel. What was sent meanwhile arrives when this ends.
        refused: new connections are reset.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = math.inf
    held: bool = False
    refused: bool = False


CLEAR = Conditions()


class Proxy:
    """One link.

    Args:
        host: where connections are passed on to.
        port: where connections are passed on to.
        chance: of the jitter.

    Attributes:
        port: where the proxy listens, on the loopback; 0 until `run` has started.
    """

    def __init__(self, host: str, port: int, chance: random.Random) -> None:
        self._target = (host, port)
        self._chance = chance
        self._conditions = CLEAR
        self._changed = trio.Event()
        self._open: set[trio.SocketStream] = set()
        self.port = 0

    @property
    def conditions(self) -> Conditions:
        """What the network is like now."""
        return self._conditions

    @conditions.setter
    def conditions(self, conditions: Conditions) -> None:
        self._conditions = conditions
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    @property
    def connections(self) -> int:
        """How many are open through this link."""
        return len(self._open) // 2

    def reset(self) -> None:
        """Reset every connection, on both sides."""
        for stream in self._open:
            _reset(stream)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, which ends every connection."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, client: trio.SocketStream) -> None:
        async with self._kept(client):
            await self._until_flowing()
            if self._conditions.refused:
                _reset(client)
                return
            try:
                with trio.fail_after(_CONNECT_MAX_S):
                    server = await trio.open_tcp_stream(*self._target)
            except (OSError, trio.TooSlowError):
                _reset(client)  # what the client would see without a proxy
                return
            async with self._kept(server), trio.open_nursery() as both:
                both.start_soon(self._carry, client, server)
                both.start_soon(self._carry, server, client)

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        """Pass on one direction, then the end of the stream, or its breaking."""
        send, receive = trio.open_memory_channel[tuple[float, bytes]](_CHUNKS_MAX)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._deliver, receive, sink)
                due = 0.0
                async with send:
                    async for data in source:
                        now = self._conditions
                        delay_s = now.latency_s + now.jitter_s * self._chance.random()
                        due = max(due, trio.current_time() + delay_s)
                        await send.send((due, bytes(data)))
            await sink.send_eof()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            _reset(sink)

    async def _deliver(
        self, receive: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream
    ) -> None:
        async with receive:
            async for due, data in receive:
                if due > trio.current_time():
                    await trio.sleep_until(due)
                await self._until_flowing()
                rate = self._conditions.bytes_per_s
                if rate < math.inf:
                    await trio.sleep(len(data) / rate)
                await sink.send_all(data)
        await self._until_flowing()

    async def _until_flowing(self) -> None:
        while self._conditions.held:
            await self._changed.wait()

    @contextlib.asynccontextmanager
    async def _kept(self, stream: trio.SocketStream) -> AsyncIterator[None]:
        self._open.add(stream)
        try:
            async with stream:
                # As between real hosts: small messages are not kept waiting for their acknowledgement.
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield
        finally:
            self._open.discard(stream)


def _reset(stream: trio.SocketStream) -> None:
    # OSError: it is closed already.
    with contextlib.suppress(OSError):
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    stream.socket.close()
