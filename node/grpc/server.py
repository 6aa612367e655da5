"""The gRPC port: services, health and reflection; how it leaves rotation, and comes back.

A server of grpc that was told to stop takes no new call: it closes its port, tells its clients to make their
next calls on another connection, and goes on with the streams it has. It cannot be taken back, so a node that
is to serve again opens another server on the same port.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import structlog
import trio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from node.config.grpc import GrpcServerOptions
from node.grpc.errors import GrpcError
from node.grpc.gate import Context
from node.grpc.health import Health
from node.grpc.loop import in_asyncio, spawn
from node.grpc.tls import GrpcTls

log = structlog.get_logger(__name__)

# How often health is looked at.
_HEALTH_INTERVAL_S = 0.5
# A server that was told to stop closes its port a moment later: how soon another one tries again at first,
# and later, when something else must be in its way.
_REOPEN_MIN_S = 0.05
_REOPEN_MAX_S = 5.0
# How long calls may take to end when the node does: a status that was sent is to arrive.
_STOP_S = 1.0
# The share of the age of streams at which a connection takes no further one. Streams live for 0.8 of it and
# more, connections for 1.1 of theirs and less: whose stream ends of age makes its next call on another one.
_CONNECTION_AGE = 0.7
# Longer than any stream lives: those of a server that stops are ended by the node, at its own pace.
_GRACE_S = 10 * 365 * 86_400.0

Handlers = Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]


class GrpcServer:
    """The server on one port.

    Args:
        options: `grpc_server`.
        services: by full name, the handlers of each by method.
        receive_bytes_max: the longest message of any service.
        not_ready: why new clients should not come, "" if they should.
        age_max_s: how long streams live, `client.connection_age_max_s`; 0: as long as they like.

    Attributes:
        port: where it listens, 0 before it does.
        shut: why it is not open although it should be, "" if it is.
        tls: its certificate; None: the port speaks plain text.
    """

    def __init__(
        self,
        options: GrpcServerOptions,
        services: Mapping[str, Handlers],
        receive_bytes_max: int,
        not_ready: Callable[[], str],
        age_max_s: float = 0.0,
    ) -> None:
        self._options = options
        self._services = services
        self._receive_bytes_max = receive_bytes_max
        self._not_ready = not_ready
        self._age_max_s = age_max_s
        self._health = Health(services)
        self._servers: list[Any] = []
        self._open: Any = None
        # Tasks of servers that were told to stop.
        self._parting: set[Any] = set()
        self._leaving = False
        self._stopping = False
        self._changed = trio.Event()
        self._pause_s = _REOPEN_MIN_S
        self.port = 0
        self.shut = ""
        self.tls = GrpcTls(options.tls) if options.tls.enabled else None

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`.

        Args:
            task_status: told the port once it is open.

        Raises:
            GrpcError: the port cannot be opened, or its certificate not be used.

        In the end, on cancellation too, calls have a moment for their last words.
        """
        try:
            self._tell()
            if self.tls is not None:
                self.tls.load()
            self.port = await self._start(self._options.port)
            log.info("listening for grpc", port=self.port)
            task_status.started(self.port)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell_health)
                if self.tls is not None:
                    nursery.start_soon(self.tls.watch)
                while not self._stopping:
                    self._changed = trio.Event()
                    with trio.move_on_after(await self._follow()):
                        await self._changed.wait()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as ending:
                    for server in self._servers:
                        ending.start_soon(in_asyncio, server.stop, _STOP_S)

    def leave(self, *, leaving: bool = True) -> None:
        """Take no new call, and go on with those there are.

        Args:
            leaving: False takes it back.
        """
        self._leaving = leaving
        self._changed.set()

    def stop(self) -> None:
        """End: whoever is still being served is cut off."""
        self._stopping = True
        self._changed.set()

    async def _follow(self) -> float:
        """Do what `leave` says; returns after how many seconds it has to be tried again."""
        if self._leaving and self._open is not None:
            # Those who watch it and read hear this before anything else.
            self._tell()
            parting = spawn(self._part(self._open))
            self._parting.add(parting)
            parting.add_done_callback(self._parting.discard)
            self._open = None
        elif not self._leaving and self._open is None:
            try:
                await self._start(self.port)
            except GrpcError as error:
                self.shut = str(error)
                log.warning("cannot serve again yet", reason=self.shut, rate_limited=True)
                pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _REOPEN_MAX_S)
                return pause_s
            log.info("listening for grpc again", port=self.port)
        self.shut, self._pause_s = "", _REOPEN_MIN_S
        return math.inf

    async def _part(self, server: Any) -> None:
        await server.stop(_GRACE_S)
        self._servers.remove(server)

    async def _start(self, port: int) -> int:
        """Open a server; returns its port."""
        # SO_REUSEPORT is grpc's default and would let another process take half of the calls.
        options = self._options
        server = grpc.aio.server(
            options=[
                *_age_options(self._age_max_s),
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._receive_bytes_max),
                ("grpc.max_concurrent_streams", options.streams_per_connection_max),
                ("grpc.keepalive_time_ms", int(options.keepalive_s * 1000)),
                ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout_s * 1000)),
                # By itself grpc waits a minute for the answer, whatever the one above says.
                ("grpc.http2.ping_timeout_ms", int(options.keepalive_timeout_s * 1000)),
                ("grpc.keepalive_permit_without_calls", 1),
                # A ping that tests the way to an idle client is no abuse of it.
                ("grpc.http2.max_pings_without_data", 0),
                (
                    "grpc.http2.min_ping_interval_without_data_ms",
                    int(options.client_keepalive_min_s * 1000),
                ),
            ]
        )
        for name, handlers in self._services.items():
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, dict(handlers))])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if options.reflection:
            names = [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME]
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(names), server)
        address = f"{options.address or '[::]'}:{port}"
        try:
            if self.tls is None:
                opened = server.add_insecure_port(address)
            else:
                opened = server.add_secure_port(address, self.tls.credentials())
        except RuntimeError as error:
            raise GrpcError(
                f"cannot listen on {address} for gRPC; free the port or set grpc_server.port"
            ) from error
        await in_asyncio(server.start)
        self._servers.append(server)
        self._open = server
        return int(opened)

    async def _tell_health(self) -> None:
        """Say SERVING while clients should come, for ever."""
        while True:
            self._tell()
            await trio.sleep(_HEALTH_INTERVAL_S)

    def _tell(self) -> None:
        self._health.tell(serving=not (self._leaving or self.shut or self._not_ready()))


def _age_options(age_max_s: float) -> list[tuple[str, int]]:
    # Streams go on meanwhile, for as long as they like.
    return [("grpc.max_connection_age_ms", int(_CONNECTION_AGE * age_max_s * 1000))] if age_max_s else []


class _Reflection:
    """grpc's own reflection, read request by request.

    Its form for asyncio iterates over requests with a generator made by Cython, which trio's hooks for
    asynchronous generators cannot take.

    Args:
        names: of the services.
    """

    def __init__(self, names: list[str]) -> None:
        self._synchronous = reflection.ReflectionServicer(names)

    async def ServerReflectionInfo(self, _: object, context: Context) -> None:  # noqa: N802 - the contract's name
        while (request := await context.read()) is not grpc.aio.EOF:
            for answer in self._synchronous.ServerReflectionInfo(iter((request,)), context):
                await context.write(answer)
