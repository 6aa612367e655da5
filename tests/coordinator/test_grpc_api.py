"""Tests of `coordinator.grpc_api`: a real server and grpc's own client, over a catalog in memory."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
import trio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from coordinator.access import TokenCheck
from coordinator.grpc_api import SERVICE, GrpcApi, GrpcError
from protos.catalog_pb2 import Plan
from protos.coordinator_pb2 import (
    CancelPlanRequest,
    DrainRequest,
    ListNodesRequest,
    RebalanceRequest,
    UndrainRequest,
    WatchPlanRequest,
)
from protos.coordinator_pb2_grpc import CoordinatorStub
from tests.coordinator.asgi_client import TOKEN
from tests.coordinator.coordinators import FakeCoordinator
from tests.coordinator.fleet import Fleet, three_nodes
from tests.fakes.catalog import CatalogStore
from tests.patience import PATIENCE_S

AUTHORIZED = (("authorization", f"Bearer {TOKEN}"),)
CALLS: dict[str, Any] = {
    "ListNodes": ListNodesRequest(),
    "WatchNodes": ListNodesRequest(),
    "Drain": DrainRequest(nodes=["node-1"]),
    "Undrain": UndrainRequest(node="node-1"),
    "Rebalance": RebalanceRequest(),
    "WatchPlan": WatchPlanRequest(id="any"),
    "CancelPlan": CancelPlanRequest(id="any"),
}


class Served:
    """A coordinator with its gRPC port."""

    def __init__(self, fleet: Fleet, coordinator: FakeCoordinator, port: int) -> None:
        self.fleet = fleet
        self.coordinator = coordinator
        self.port = port

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            yield channel

    async def call(self, name: str, request: Any, metadata: Any = AUTHORIZED) -> Any:
        """One call; a stream is read to its end."""

        def call() -> Any:
            with self.channel() as channel:
                answer = getattr(CoordinatorStub(channel), name)(
                    request, metadata=metadata, timeout=PATIENCE_S
                )
                return list(answer) if name.startswith("Watch") else answer

        return await trio.to_thread.run_sync(call)

    async def status(self, name: str, request: Any, metadata: Any = AUTHORIZED) -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as raised:
            await self.call(name, request, metadata)
        assert TOKEN not in raised.value.details()
        return raised.value.code()


@pytest.fixture
async def served(nursery: trio.Nursery) -> AsyncIterator[Served]:
    """A leading coordinator that knows three nodes."""
    fleet = three_nodes(CatalogStore())
    coordinator = FakeCoordinator(fleet.store)
    api = GrpcApi(coordinator.service, TokenCheck(TOKEN, insecure=False), "127.0.0.1", 0)
    nursery.start_soon(fleet.run)
    nursery.start_soon(coordinator.run)
    port = await nursery.start(api.run)
    await coordinator.ready(3)
    await coordinator.until(lambda: coordinator.control.fence is not None)
    return Served(fleet, coordinator, port)


async def in_thread(call: Callable[[], Any]) -> Any:
    with trio.fail_after(PATIENCE_S):
        return await trio.to_thread.run_sync(call)


async def test_every_call_needs_the_token(served: Served) -> None:
    """UNAUTHENTICATED without a token or with a wrong one, and nothing is done."""
    for name, request in CALLS.items():
        for metadata in ((), (("authorization", "Bearer wrong"),), (("token", TOKEN),)):
            assert await served.status(name, request, metadata) == grpc.StatusCode.UNAUTHENTICATED, name
    assert not served.fleet.store.plans


async def test_a_drain_is_asked_for_and_watched(served: Served) -> None:
    """Drain answers with the plan, WatchPlan shows it until it has ended."""
    nodes = (await served.call("ListNodes", ListNodesRequest())).nodes
    assert [node.name for node in nodes] == ["node-1", "node-2", "node-3"]
    served.fleet.nodes["node-1"].connections = 20
    plan = await served.call("Drain", DrainRequest(nodes=["node-1"], deadline_s=120))
    seen = await served.call("WatchPlan", WatchPlanRequest(id=plan.id))
    assert seen[-1].state == Plan.DONE, seen[-1].note
    assert len(seen) > 1


async def test_refusals_have_the_documented_codes(served: Served) -> None:
    """See the comment at the top of protos/coordinator.proto."""
    code = grpc.StatusCode
    assert await served.status("Drain", DrainRequest(nodes=["node-9"])) == code.NOT_FOUND
    assert await served.status("Drain", DrainRequest()) == code.INVALID_ARGUMENT
    assert await served.status("Drain", DrainRequest(all=True)) == code.FAILED_PRECONDITION
    assert await served.status("CancelPlan", CancelPlanRequest(id="none")) == code.NOT_FOUND
    assert await served.status("WatchPlan", WatchPlanRequest(id="none")) == code.NOT_FOUND
    assert await served.status("Undrain", UndrainRequest(node="node-1")) == code.FAILED_PRECONDITION
    assert await served.status("Rebalance", RebalanceRequest()) == code.FAILED_PRECONDITION


async def test_a_watch_that_is_hung_up_leaves_nothing_behind(served: Served) -> None:
    """Whoever stops watching is forgotten, and the next one is served."""

    def watch() -> int:
        with served.channel() as channel:
            stub = CoordinatorStub(channel)
            count = 0
            for _ in range(3):
                answers = stub.WatchNodes(ListNodesRequest(), metadata=AUTHORIZED, timeout=PATIENCE_S)
                count += len(next(answers).nodes)
                answers.cancel()
            return count

    assert await in_thread(watch) == 9


async def test_without_the_catalog_calls_are_unavailable(served: Served) -> None:
    """And health says so, for those who choose a coordinator by it."""

    def health() -> int:
        with served.channel() as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            return int(stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE_S).status)

    assert await in_thread(health) == health_pb2.HealthCheckResponse.SERVING
    served.coordinator.mirror._contact_max_s = 0.2
    served.coordinator.catalog.reachable = False
    await trio.sleep(1)
    assert await served.status("ListNodes", ListNodesRequest()) == grpc.StatusCode.UNAVAILABLE
    assert await in_thread(health) == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_the_service_describes_itself(served: Served) -> None:
    """Grpcurl and others can ask what there is."""

    def services() -> list[str]:
        with served.channel() as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            answer = next(stub.ServerReflectionInfo(iter([request]), timeout=PATIENCE_S))
            return [service.name for service in answer.list_services_response.service]

    assert SERVICE in await in_thread(services)


async def test_a_taken_port_is_said() -> None:
    """The message names the option to change."""
    service = FakeCoordinator(CatalogStore()).service
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        api = GrpcApi(service, TokenCheck("", insecure=True), "127.0.0.1", taken.getsockname()[1])
        with pytest.RaisesGroup(
            pytest.RaisesExc(GrpcError, match=r"coordinator\.grpc_port"), flatten_subgroups=True
        ):
            await api.run()
