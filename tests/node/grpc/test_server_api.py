"""The server API over gRPC, with a fake of grpc's context: keys, errors in both forms, broken requests."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from node.api.methods import Api
from node.config.grpc import GrpcApiOptions
from node.grpc.gate import Gate
from node.grpc.loop import TrioTasks, in_asyncio, run
from node.grpc.server_api import SERVICE, GrpcServerApi
from protos import server_api_pb2 as api
from tests.node.grpc.contexts import Aborted, FakeContext
from tests.node.node_in_memory import MemoryNode, memory_node
from tests.patience import PATIENCE_S

# Calls a method by name, with metadata; the answer's bytes, or the status it ended with.
Call = Callable[..., Awaitable[Any]]


def on_api(test: Callable[[Call], Awaitable[None]], **options: Any) -> None:
    """Run a test of asyncio's kind against the handlers of a memory node."""

    async def main() -> None:
        with trio.fail_after(PATIENCE_S):
            async with memory_node() as node, trio.open_nursery() as nursery:
                methods = Api(node.publisher, node.channels, node.broker, node.rules, list, node.metrics)
                handlers = GrpcServerApi(methods, GrpcApiOptions(**options), TrioTasks(nursery)).handlers()
                await in_asyncio(test, caller(node, handlers))

    run(main)


def caller(node: MemoryNode, handlers: Any) -> Call:
    async def call(method: str, request: Any, **metadata: str) -> Any:
        context = FakeContext(**metadata)
        message = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            answer = await Gate(node.parts).guarded(handlers[method])(message, context)  # type: ignore[arg-type]
        except Aborted:
            assert context.status is not None
            return context.status[0]
        return getattr(api, f"{method}Response").FromString(answer)

    return call


def test_every_method_of_the_service_is_served() -> None:
    """The contract's names, no more and no fewer; what is not offered says so."""
    names = api.DESCRIPTOR.services_by_name["CentrifugoApi"].methods_by_name

    async def test(call: Call) -> None:
        for name in names:
            request = getattr(api, f"{name}Request")()
            assert await call(name, request) is not None
        assert (await call("Presence", api.PresenceRequest(channel="a"))).error.code == 108
        assert (await call("Disconnect", api.DisconnectRequest(user="a"))).error.code == 108

    on_api(test, insecure=True)
    assert SERVICE == "centrifugal.centrifugo.api.CentrifugoApi"


@pytest.mark.parametrize(
    ("metadata", "allowed"),
    [
        ({"authorization": "apikey secret"}, True),
        ({"authorization": "ApiKey secret"}, True),
        ({"authorization": "apikey other"}, False),
        ({"authorization": "Bearer secret"}, False),
        ({"x-api-key": "secret"}, False),
        ({}, False),
    ],
)
def test_the_key_is_the_metadatas(metadata: dict[str, str], allowed: bool) -> None:
    """As Centrifugo's clients send it."""

    async def test(call: Call) -> None:
        for method, request in (("Info", api.InfoRequest()), ("Batch", api.BatchRequest())):
            answer = await call(method, request, **metadata)
            assert (answer != "UNAUTHENTICATED") == allowed

    on_api(test, key="secret")


def test_without_a_key_nobody_may_call() -> None:
    """An empty key is no key."""

    async def test(call: Call) -> None:
        assert await call("Info", api.InfoRequest(), authorization="apikey ") == "UNAUTHENTICATED"

    on_api(test)


@pytest.mark.parametrize("mode", ["", "transport"])
def test_errors_are_part_of_the_answer_or_statuses(mode: str) -> None:
    """As the operator wants them; results are the same."""

    async def test(call: Call) -> None:
        wrong = await call("Publish", api.PublishRequest(channel="nowhere:a", data=b"1"))
        if mode:
            assert wrong == "NOT_FOUND"
        else:
            assert wrong.error.code == 102
        assert (await call("Publish", api.PublishRequest(channel="a", data=b"1"))).result.offset

    on_api(test, insecure=True, error_mode=mode)


@pytest.mark.parametrize("method", ["Publish", "Batch"])
def test_what_is_no_request_is_an_invalid_argument(method: str) -> None:
    """Whichever method it was for."""

    async def test(call: Call) -> None:
        assert await call(method, b"\xff") == "INVALID_ARGUMENT"

    on_api(test, insecure=True)
