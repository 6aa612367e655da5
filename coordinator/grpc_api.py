"""The coordinator over gRPC: protos/coordinator.proto, health and reflection.

grpc.aio runs on an asyncio loop that trio-asyncio keeps within trio: a few calls per second do not pay for
threads. What is asked and answered is the service's business.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
import structlog
import trio
import trio_asyncio
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from trio_asyncio import aio_as_trio, trio_as_aio

from coordinator.access import TokenCheck
from coordinator.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    NotPossible,
    OperationError,
    Unavailable,
)
from coordinator.grpc_tls import GrpcTls
from coordinator.service import Service
from protos import coordinator_pb2, coordinator_pb2_grpc
from protos.catalog_pb2 import Plan
from protos.coordinator_pb2 import (
    CancelPlanRequest,
    DrainRequest,
    ListNodesRequest,
    ListNodesResponse,
    RebalanceRequest,
    UndrainRequest,
    UndrainResponse,
    WatchPlanRequest,
)

log = structlog.get_logger(__name__)

_Response = TypeVar("_Response", bound=Message)
_Result = TypeVar("_Result")
_Context = grpc.aio.ServicerContext[Any, Any]

STATUS: dict[type[OperationError], grpc.StatusCode] = {
    NotAllowed: grpc.StatusCode.UNAUTHENTICATED,
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    NotPossible: grpc.StatusCode.FAILED_PRECONDITION,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
SERVICE = coordinator_pb2.DESCRIPTOR.services_by_name["Coordinator"].full_name
# How long calls may take to end when the coordinator stops, and how often health is looked at.
_STOP_S = 1.0
_HEALTH_INTERVAL_S = 0.5


class GrpcError(Exception):
    """The port cannot be opened; the message says what to change."""


class GrpcApi:
    """The server on one port.

    Args:
        service: the operations.
        token: who may call.
        address: to listen on; "" for all.
        port: 0 for any free one.
        tls: loaded; None: the port speaks plain text.
    """

    def __init__(
        self, service: Service, token: TokenCheck, address: str, port: int, tls: GrpcTls | None = None
    ) -> None:
        self._service = service
        self._token = token
        self._address = address
        self._port = port
        self._tls = tls

    async def run(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; calls that are under way end then.

        Args:
            task_status: told the port.

        Raises:
            GrpcError: the port cannot be opened.
        """
        async with trio_asyncio.open_loop():
            server = self._server()
            healths = health.aio.HealthServicer()
            health_pb2_grpc.add_HealthServicer_to_server(healths, server)
            where = f"{self._address or '[::]'}:{self._port}"
            try:
                if self._tls is None:
                    port = server.add_insecure_port(where)
                else:
                    port = server.add_secure_port(where, self._tls.credentials())
            except RuntimeError as error:
                raise GrpcError(f"cannot listen on {where}: change coordinator.grpc_port") from error
            await aio_as_trio(server.start)()
            log.info("listening for grpc", port=port)
            task_status.started(port)
            try:
                await self._tell_health(healths)
            finally:
                with trio.CancelScope(shield=True):
                    await aio_as_trio(server.stop)(_STOP_S)

    def _server(self) -> grpc.aio.Server:
        # SO_REUSEPORT is grpc's default and would let a second coordinator take half of the calls.
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        servicer = _Servicer(self._service, self._token)
        coordinator_pb2_grpc.add_CoordinatorServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(), server)
        return server

    async def _tell_health(self, healths: health.aio.HealthServicer) -> None:
        """Say SERVING while the catalog is within reach, for ever."""
        while True:
            try:
                self._service.check_contact()
                status = health_pb2.HealthCheckResponse.SERVING
            except Unavailable:
                status = health_pb2.HealthCheckResponse.NOT_SERVING
            for name in ("", SERVICE):
                await aio_as_trio(healths.set)(name, status)
            await trio.sleep(_HEALTH_INTERVAL_S)


class _Servicer(coordinator_pb2_grpc.CoordinatorServicer):
    """Called by grpc in asyncio tasks; what it calls runs in trio's."""

    def __init__(self, service: Service, token: TokenCheck) -> None:
        self._service = service
        self._token = token

    async def ListNodes(self, _: ListNodesRequest, context: _Context) -> ListNodesResponse:  # noqa: N802
        async def list_nodes() -> ListNodesResponse:
            return self._service.list_nodes()

        return await self._call(list_nodes, context)

    async def Drain(self, request: DrainRequest, context: _Context) -> Plan:  # noqa: N802
        return await self._call(lambda: self._service.drain(request), context)

    async def Undrain(self, request: UndrainRequest, context: _Context) -> UndrainResponse:  # noqa: N802
        return await self._call(lambda: self._service.undrain(request), context)

    async def Rebalance(self, request: RebalanceRequest, context: _Context) -> Plan:  # noqa: N802
        return await self._call(lambda: self._service.rebalance(request), context)

    async def CancelPlan(self, request: CancelPlanRequest, context: _Context) -> Plan:  # noqa: N802
        return await self._call(lambda: self._service.cancel(request.id), context)

    async def WatchNodes(self, _: ListNodesRequest, context: _Context) -> None:  # noqa: N802
        await self._stream(self._service.watch_nodes, context)

    async def WatchPlan(self, request: WatchPlanRequest, context: _Context) -> None:  # noqa: N802
        await self._stream(lambda: self._service.watch_plan(request.id), context)

    async def _call(self, call: Callable[[], Awaitable[_Result]], context: _Context) -> _Result:
        try:
            self._token.check(_authorization(context))
            result: _Result = await trio_as_aio(call)()
            return result
        except OperationError as error:
            await context.abort(STATUS[type(error)], str(error))

    async def _stream(
        self, open_stream: Callable[[], AsyncGenerator[_Response, None]], context: _Context
    ) -> None:
        async def tell() -> None:
            async with aclosing(open_stream()) as responses:
                async for response in responses:
                    await aio_as_trio(context.write)(response)

        await self._call(tell, context)


class _Reflection:
    """grpc's own reflection, read request by request.

    Its form for asyncio iterates over requests with a generator made by Cython, which trio's hooks for
    asynchronous generators cannot take.
    """

    def __init__(self) -> None:
        names = [SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME]
        self._synchronous = reflection.ReflectionServicer(names)

    async def ServerReflectionInfo(self, _: object, context: _Context) -> None:  # noqa: N802
        while (request := await context.read()) is not grpc.aio.EOF:
            for answer in self._synchronous.ServerReflectionInfo(iter((request,)), context):
                await context.write(answer)


def _authorization(context: _Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            return value
    return ""
