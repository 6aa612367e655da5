"""A TCP proxy in front of a server: clients know one address, and tests decide what is behind it."""

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Protocol, Self

import trio

from tests.integration.cluster import NodeProcess
from tests.patience import PATIENCE_S

# SO_LINGER without time: closing resets the connection and drops what is queued (socket(7)).
_AT_ONCE = struct.pack("ii", 1, 0)


class Target(Protocol):
    """A node, or any other server."""

    @property
    def port(self) -> int:
        """On the loopback."""


class Proxy:
    """Forwards connections to its target, from a thread of its own; leaving the context ends it.

    Args:
        target: see below.

    Attributes:
        target: where new connections go, None: they are reset. Open ones stay where they are.
        http: its address, as a URL; ws: the same for WebSockets.
    """

    def __init__(self, target: Target | None) -> None:
        self.target = target
        self.http = self.ws = ""
        self._open: set[trio.SocketStream] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=[self._run], daemon=True)

    def cut(self) -> None:
        """Reset every connection, on both sides, and every new one until there is a target again."""
        done = threading.Event()

        def cut() -> None:
            self.target = None
            for stream in self._open:
                _reset(stream)
            done.set()

        # Also from a test that runs on trio itself, and waits for this moment.
        self._token.run_sync_soon(cut)
        assert done.wait(PATIENCE_S), "the proxy does not run"

    def _next_target(self) -> Target | None:
        return self.target

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as self._everything:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listener.socket.getsockname()[1]
            self.http, self.ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
            self._started.set()
            await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, client: trio.SocketStream) -> None:
        target = self._next_target()
        if target is None:
            _reset(client)
            return
        async with self._kept(client):
            try:
                node = await trio.open_tcp_stream("127.0.0.1", target.port)
            except OSError:
                # The node has gone: so that the client sees what it would see without a proxy.
                _reset(client)
                return
            async with self._kept(node), trio.open_nursery() as both:
                both.start_soon(_forward, client, node)
                both.start_soon(_forward, node, client)

    @contextlib.asynccontextmanager
    async def _kept(self, stream: trio.SocketStream) -> AsyncIterator[None]:
        self._open.add(stream)
        try:
            async with stream:
                yield
        finally:
            self._open.discard(stream)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(PATIENCE_S), "the proxy did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._token.run_sync_soon(self._everything.cancel)
        self._thread.join(PATIENCE_S)


class RoundRobinProxy(Proxy):
    """Each new connection goes to the next node, as long as there is a target at all.

    Args:
        nodes: in turn.
    """

    def __init__(self, nodes: Sequence[NodeProcess]) -> None:
        super().__init__(nodes[0])
        self._in_turn = itertools.cycle(nodes)

    def _next_target(self) -> Target | None:
        return None if self.target is None else next(self._in_turn)


async def _forward(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    """Pass on bytes, then the end of the stream, or its breaking."""
    try:
        async for data in source:
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        _reset(sink)


def _reset(stream: trio.SocketStream) -> None:
    # OSError: it is closed already.
    with contextlib.suppress(OSError):
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    stream.socket.close()
