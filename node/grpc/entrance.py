"""The way in over gRPC: the services on their port, and a door for probes, metrics and the server API."""

from collections.abc import Mapping
from typing import Any

import grpc
import trio

from node.api.methods import Api
from node.entrance import HttpEntrance, open_entrance
from node.grpc.calls import Calls
from node.grpc.gate import Gate, Handler
from node.grpc.loop import TrioTasks
from node.grpc.server import GrpcServer, Handlers
from node.grpc.server_api import SERVICE as SERVER_API
from node.grpc.server_api import GrpcServerApi
from node.grpc.streams import Streams
from node.readiness import Readiness
from node.session import Parts
from protos import edge_pb2, unistream_pb2

EDGE = edge_pb2.DESCRIPTOR.services_by_name["Edge"].full_name
UNISTREAM = unistream_pb2.DESCRIPTOR.services_by_name["CentrifugoUniStream"].full_name


class GrpcEntrance:
    """A gRPC port, and beside it a door without clients.

    Args:
        http: the door.
        server: the port.
        calls: streams of messages that end when the node leaves.
    """

    def __init__(self, http: HttpEntrance, server: GrpcServer, calls: Calls) -> None:
        self.door = http.door
        self._http = http
        self._server = server
        self._calls = calls

    @property
    def grpc_port(self) -> int:
        """See Entrance."""
        return self._server.port

    async def serve(
        self, *, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """See Entrance."""
        async with trio.open_nursery() as nursery:
            addresses: list[tuple[str, int]] = await nursery.start(self._http.serve)
            await nursery.start(self._server.serve)
            task_status.started(addresses)

    def leave(self, *, leaving: bool = True) -> None:
        """See Entrance."""
        self._http.leave(leaving=leaving)
        self._server.leave(leaving=leaving)
        if leaving:
            self._calls.leave()

    async def stop(self) -> None:
        """See Entrance."""
        self._server.stop()
        await self._http.stop()


def open_grpc_entrance(parts: Parts, api: Api, readiness: Readiness) -> GrpcEntrance:
    """Build the services that the configuration wants; see entrance.Opener."""
    config = parts.config
    trio_tasks = TrioTasks(parts.writers.nursery)
    gate = Gate(parts)
    calls = Calls(parts, trio_tasks)
    streams = Streams(parts, trio_tasks)
    services: dict[str, Handlers] = {
        EDGE: {
            "Subscribe": grpc.unary_stream_rpc_method_handler(_stream(gate, streams.subscribe)),
            "Connect": grpc.stream_stream_rpc_method_handler(_stream(gate, streams.connect)),
            "PublishStream": grpc.stream_unary_rpc_method_handler(gate.guarded(calls.publish_stream)),
            **_unary(gate, {"Publish": calls.publish, "History": calls.history}),
        }
    }
    receive_bytes_max = config.grpc_server.message_size_limit
    if config.uni_grpc.enabled:
        consume: Any = grpc.unary_stream_rpc_method_handler(_stream(gate, streams.consume))
        services[UNISTREAM] = {"Consume": consume}
    if config.grpc_api.enabled:
        services[SERVER_API] = _unary(gate, GrpcServerApi(api, config.grpc_api, trio_tasks).handlers())
        receive_bytes_max = max(receive_bytes_max, config.grpc_api.max_receive_message_size)
    age_max_s = config.client.connection_age_max_s
    server = GrpcServer(config.grpc_server, services, receive_bytes_max, readiness.refusal, age_max_s)
    readiness.shut = lambda: server.shut
    if server.tls is not None:
        tls = server.tls
        parts.metrics.observe(
            "grpc_certificates_unusable",
            lambda: tls.unusable,
            "Renewed certificates that could not be used; the one before is still served.",
            counter=True,
        )
    return GrpcEntrance(open_entrance(parts, api, readiness, clients=False), server, calls)


def _unary(gate: Gate, handlers: Mapping[str, Handler]) -> Handlers:
    return {
        name: grpc.unary_unary_rpc_method_handler(gate.guarded(handler)) for name, handler in handlers.items()
    }


def _stream(gate: Gate, handler: Handler) -> Any:
    """A handler that writes by itself: to grpc one that returns nothing."""
    guarded = gate.guarded(handler)

    async def serve(request: Any, context: Any) -> None:
        await guarded(request, context)

    return serve
