"""One TCP port: accepts connections, reads the head of each request and hands it to who serves its path.

The door knows HTTP/1.1 heads and connections, no transport and no session: which path is whose is told to
it. A path it does not know, and a request it does not frame (chunked bodies, HTTP/2), goes to `fallback`.
"""

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog
import trio

from node import open_files
from node.config.options import HttpServerOptions
from node.door.connection import Connection, address_text
from node.door.counts import Counts
from node.door.head import Head, HeadError, take_head
from node.door.listeners import open_listeners
from node.door.tls import Tls
from node.timers import Timers

log = structlog.get_logger(__name__)

# Serves one request. True: its body was read and the connection may carry another one. False: close it.
Handler = Callable[[Connection, Head], Awaitable[bool]]

_TASK = "connection"
# Connections accepted before other tasks have their turn.
_ACCEPTS_PER_TURN = 64
# This process or machine has no more to give: what waits in the backlog is accepted when it has.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTED_PAUSE_S = 0.1
# accept(2) passes on the errors of the connection it would have returned; only that one is lost.
_CONNECTION_LOST = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
        errno.EINTR,
    }
)


class Door:
    """One HTTP port.

    Args:
        options: `http_server`.
        routes: who serves which path; one that ends with "/" serves every name right below it.
        fallback: who serves everything else, the rest of the connection included.
        timers: for the deadlines of requests.
        metrics: what is refused is counted there.
        section: of the configuration, where the options of TLS are.

    Attributes:
        addresses: where it listens, as (host, port).
        stopping: no further request is wanted.
        tls: None where the port speaks plain text.
    """

    def __init__(
        self,
        options: HttpServerOptions,
        routes: Mapping[str, Handler],
        fallback: Handler,
        timers: Timers,
        metrics: Counts,
        section: str = "http_server",
    ) -> None:
        self._options = options
        self._routes = routes
        self._fallback = fallback
        self._timers = timers
        self._metrics = metrics
        self.tls = Tls(options, metrics, section) if options.tls.enabled else None
        self._accepting = trio.CancelScope()
        self._connections: set[Connection] = set()
        self._listeners: list[socket.socket] = []
        self.addresses: list[tuple[str, int]] = []
        self.stopping = False
        self._leaving = False
        self._descriptors_max = 0
        metrics.observe("door_connections", lambda: len(self._connections), "TCP connections open now.")

    async def serve(
        self, *, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen and serve until `stop`, and then until the last connection has ended.

        Args:
            task_status: told `addresses` once the port is open.

        Raises:
            DoorError: the port cannot be opened, or the certificate cannot be used.

        On cancellation the listening sockets and every connection are closed at once.
        """
        if self.tls is not None:
            self.tls.load()
        self._descriptors_max = open_files.limit() - open_files.RESERVED
        self._listeners = listeners = await open_listeners(self._options)
        # Two nurseries: accepting ends before serving does.
        async with trio.open_nursery() as serving:
            try:
                self.addresses = [listener.getsockname()[:2] for listener in listeners]
                log.info("listening", addresses=[address_text(*address) for address in self.addresses])
                with self._accepting:
                    async with trio.open_nursery() as accepting:
                        for listener in listeners:
                            accepting.start_soon(self._accept, listener, serving)
                        if self.tls is not None:
                            accepting.start_soon(self.tls.watch)
                        task_status.started(self.addresses)
            finally:
                self._close_listeners()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            trio.lowlevel.notify_closing(listener)
            listener.close()
        self._listeners = []

    def leave(self, *, leaving: bool = True) -> None:
        """Serve on, and end each connection with its next answer: its client should go elsewhere.

        The port stays open, so that those who come all the same are told why not.

        Args:
            leaving: False takes it back.
        """
        self._leaving = leaving
        for connection in self._connections:
            connection.parting = leaving

    def stop(self) -> None:
        """Accept nothing more, end idle connections, and let each of the others end with its request.

        The port is closed when this returns: who is told to go elsewhere now cannot come back here.
        """
        self.stopping = True
        self._close_listeners()
        self._accepting.cancel()
        for connection in self._connections:
            connection.closing = True
            if connection.waiting:
                connection.stop_receiving()

    def _take(self, listener: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
        sock, address = listener.accept()
        # The kernel gives the lowest number that is free, so this one says how many are taken.
        if sock.fileno() >= self._descriptors_max:
            sock.close()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return sock, address

    async def _accept(self, listener: socket.socket, serving: trio.Nursery) -> None:
        while not self.stopping:
            # `stop` closes the listener.
            with suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(listener)
            for _ in range(0 if self.stopping else _ACCEPTS_PER_TURN):
                try:
                    sock, address = self._take(listener)
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _CONNECTION_LOST:
                        continue
                    if error.errno not in _EXHAUSTED:
                        raise
                    self._metrics.refused["exhausted"] += 1
                    log.error(  # noqa: TRY400 - a traceback would say nothing more
                        "cannot accept connections: raise the limit of open files",
                        reason=error.strerror,
                        rate_limited=True,
                    )
                    await trio.sleep(_EXHAUSTED_PAUSE_S)
                    break
                sock.setblocking(False)
                connection = Connection(sock, address_text(*address[:2]), self._timers)
                connection.parting = self._leaving
                self._connections.add(connection)
                # Named once for all: trio would keep a name of its own for each.
                serving.start_soon(self._serve_connection, connection, name=_TASK)

    async def _serve_connection(self, connection: Connection) -> None:
        options = self._options
        # A new connection that says nothing is no better than one that says half.
        patience_s = options.head_deadline_s
        try:
            if self.tls is None:
                connection.glance()
            elif not await self.tls.secure(connection):
                return
            while (head := await self._read_head(connection, patience_s)) is not None:
                serving = self._handler(head)(connection, head)
                # Who serves decides how long the head is kept: a stream without an end lets go of it.
                del head
                if not await serving:
                    return
                patience_s = options.keep_alive_s
                if connection.received:
                    patience_s = options.head_deadline_s
                    # Whoever pipelines its requests does not hold up the others.
                    await trio.lowlevel.checkpoint()
        except Exception as error:
            # The one place for this: trio would end the whole node for a fault that concerns one client.
            self._metrics.failures += 1
            kind = type(error).__name__
            log.exception("serving a connection failed", peer=connection.peer, rate_limited=kind)
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _read_head(self, connection: Connection, patience_s: float) -> Head | None:
        """The next head; None when the connection is over, answered if there is an answer to give.

        Args:
            connection: whose; it has no deadline any more when there is a head.
            patience_s: how long it may be silent. What has begun has the head's deadline.
        """
        connection.expire_at(trio.current_time() + patience_s)
        received = connection.received
        begun = bool(received)
        try:
            while (head := take_head(received, self._options.head_bytes_max)) is None:
                if received and not begun:
                    begun = True
                    connection.expire_at(trio.current_time() + self._options.head_deadline_s)
                connection.waiting = not begun
                if connection.closing and not begun:
                    return None
                if not await connection.fill():
                    await self._bid_farewell(connection)
                    return None
        except HeadError as error:
            self._metrics.malformed["head"] += 1
            log.info(
                "request refused",
                peer=connection.peer,
                status=error.status,
                reason=error.detail,
                rate_limited=error.status,
            )
            await connection.answer(None, error.status, error.detail)
            return None
        finally:
            connection.waiting = False
        connection.unexpire()
        return head

    async def _bid_farewell(self, connection: Connection) -> None:
        if connection.late and connection.received:
            self._metrics.refused["late_head"] += 1
            reason = "the request's head took too long"
            log.info("request refused", peer=connection.peer, status=408, reason=reason, rate_limited=408)
            await connection.answer(None, 408, reason)

    def _handler(self, head: Head) -> Handler:
        if head.chunked:
            return self._fallback
        handler = self._routes.get(head.path)
        if handler is None:
            handler = self._routes.get(head.path[: head.path.rfind("/") + 1], self._fallback)
        return handler
