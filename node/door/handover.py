"""Hands a connection to hypercorn, for good: with the request that was read, and everything that follows.

Hypercorn serves what is rare or hard: HTTP/2, pages, chunked bodies. It runs one connection at a time here,
on a stream made of the door's connection; listening, accepting and stopping stay the door's.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import structlog
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from node.config.alt_svc import alt_svc
from node.config.options import Config
from node.door.asgi_request import Message, Receive, Scope, Send
from node.door.connection import Connection
from node.door.counts import Counts
from node.door.head import Head

log = structlog.get_logger(__name__)

App = Callable[[Scope, Receive, Send], Awaitable[None]]

# How long a request may go on after its client has said all, or has gone.
_GRACE_S = 5.0
# A connection that is parted from ends so soon after its last response.
_PARTING_S = 1.0
# Hypercorn lets these out where a connection ends while it is being written to.
_CONNECTION_OVER = (trio.BrokenResourceError, trio.ClosedResourceError)


class HandOver:
    """Serves connections by hypercorn; give `serve` to the door as its fallback.

    Args:
        app: answers the requests, as ASGI has it.
        config: limits, as far as hypercorn has an option for them.
        metrics: failed and refused requests are counted there.
    """

    def __init__(self, app: App, config: Config, metrics: Counts) -> None:
        self._app = app
        self._metrics = metrics
        self._head_deadline_s = config.http_server.head_deadline_s
        self._config = _hypercorn_config(config, metrics)
        # Stopping: idle connections end, the others do with their response.
        self._context = WorkerContext(None)

    async def serve(self, connection: Connection, head: Head) -> bool:
        """See Handler; returns when the connection is over. Cancellation ends it at once."""
        if connection.closing:
            reason = "the node is stopping"
            self._metrics.refused["not_accepting"] += 1
            log.info("request refused", peer=connection.peer, status=503, reason=reason, rate_limited=503)
            return await connection.answer(head, 503, reason, close=True)
        connection.received[:0] = head.raw
        # To hypercorn an HTTP/2 connection is busy until its first request, however long that takes.
        connection.expire_at(trio.current_time() + self._head_deadline_s)
        try:
            async with trio.open_nursery() as nursery:
                stream = _HandedOver(connection, nursery.cancel_scope)
                # What hypercorn calls an application wrapper, and a stream that is not its own.
                app, as_stream = cast("Any", self._call), cast("Any", stream)
                state = {"stream": stream, "abort": stream.abort}
                nursery.start_soon(_abort_on_cancel, stream)
                await TCPServer(app, self._config, self._context, state, as_stream).run()
                nursery.cancel_scope.cancel()
        except* _CONNECTION_OVER:
            log.debug("the connection ended while it was written to", peer=connection.peer)
        return False

    async def stop(self) -> None:
        """End idle connections, and each of the others with its response."""
        await self._context.terminated.set()

    async def _call(self, scope: Scope, receive: Receive, send: Send, *_: Any) -> None:
        if scope["type"] == "websocket":
            # Hypercorn agrees to compression whenever it is offered, and there is no option: 288 kB per
            # connection. `send` is a method of its stream, which has not answered the handshake yet.
            send.__self__.handshake.extensions = None  # type: ignore[attr-defined]
        stream = scope["state"]["stream"]
        with stream.request():
            has_field = scope["type"] == "http" and scope["http_version"].startswith("1")
            await self._app(scope, receive, stream.last(send) if has_field else send)


class _HandedOver(trio.abc.HalfCloseableStream):
    """A connection as the stream that hypercorn expects.

    Args:
        connection: what was read of it comes first.
        serving: the scope hypercorn runs in. It would go on for its keep-alive time after the client has
            gone, so it is cancelled when no request is being served any more.

    Attributes:
        socket: asked for its two addresses.
    """

    def __init__(self, connection: Connection, serving: trio.CancelScope) -> None:
        self._connection = connection
        self._serving = serving
        self._requests = 0
        self._over = False
        self.socket = connection.sock

    @contextmanager
    def request(self) -> Iterator[None]:
        """While a request is being served."""
        self._connection.unexpire()
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self._end_if_over()
            if self._connection.parting and not self._requests:
                # HTTP/2 has no field to say so: another request before then is served too.
                self._connection.expire_at(trio.current_time() + _PARTING_S)

    def last(self, send: Send) -> Send:
        """`send`, saying in HTTP/1 that this response is the last one if it is."""

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._connection.parting:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        return send_last

    def _end_if_over(self) -> None:
        if self._over:
            # An HTTP/2 response whose client has gone waits for ever to be read.
            grace_s = _GRACE_S if self._requests else 0
            self._serving.deadline = min(self._serving.deadline, trio.current_time() + grace_s)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 - Stream's signature
        """See ReceiveStream."""
        data = b""
        try:
            self._check()
            data = await self._connection.receive()
        finally:
            if not data:
                self._over = True
                self._end_if_over()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See SendStream."""
        self._check()
        if not await self._connection.send(bytes(data)):
            raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        """See SendStream."""
        self._check()
        await trio.lowlevel.wait_writable(self.socket)

    async def send_eof(self) -> None:
        """See HalfCloseableStream."""
        self._check()
        await trio.lowlevel.checkpoint()
        try:
            self.socket.shutdown(1)
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def aclose(self) -> None:
        """See AsyncResource."""
        self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Close now; whoever sends or receives is woken with ClosedResourceError."""
        self._connection.close()

    def _check(self) -> None:
        if self.socket.fileno() < 0:
            raise trio.ClosedResourceError("the connection is closed")


async def _abort_on_cancel(stream: _HandedOver) -> None:
    """Hypercorn shields its sending: without this a client that does not read could not be cancelled."""
    try:
        await trio.sleep_forever()
    finally:
        stream.abort()


class _Log:
    """What hypercorn calls to log.

    Args:
        metrics: requests that failed by a fault of this program are counted there.
    """

    def __init__(self, metrics: Counts) -> None:
        self._metrics = metrics

    async def access(self, *_: object) -> None:
        """Requests are not logged, here as little as on the door."""

    async def exception(self, message: str) -> None:
        """The application failed; hypercorn ends its request."""
        self._metrics.failures += 1
        kind = type(sys.exception()).__name__
        log.exception("serving a request failed", where=message, rate_limited=kind)  # noqa: LOG004 - called from the handler


def _hypercorn_config(config: Config, metrics: Counts) -> HypercornConfig:
    options = HypercornConfig()
    options.logger_class = cast("Any", lambda _: _Log(metrics))
    options.include_server_header = False
    if told := alt_svc(config.http_server):
        options.alt_svc_headers = [told]
    options.h11_max_incomplete_size = config.http_server.head_bytes_max
    options.h2_max_header_list_size = config.http_server.head_bytes_max
    options.keep_alive_timeout = config.http_server.keep_alive_s
    # The door has no such limit either.
    options.keep_alive_max_requests = 2**31
    options.websocket_max_message_size = config.websocket.message_size_limit
    options.websocket_ping_interval = config.client.ping_interval
    return options
