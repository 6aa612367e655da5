"""The gRPC port: it opens, leaves with its streams going on, and comes back on the same port."""

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
import trio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from node.config.durations import Duration
from node.config.grpc import GrpcServerOptions
from node.grpc.errors import GrpcError
from node.grpc.loop import Signal, in_asyncio, run
from node.grpc.server import GrpcServer
from tests.patience import PATIENCE_S

SERVICE = "test.Service"


class Service:
    """A call that echoes, and a stream that waits for a word."""

    def __init__(self) -> None:
        self.word = Signal()

    def handlers(self) -> dict[str, Any]:
        return {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Peer": grpc.unary_unary_rpc_method_handler(self.peer),
            "Wait": grpc.unary_stream_rpc_method_handler(self.wait),
        }

    async def echo(self, message: bytes, _: Any) -> bytes:
        return message

    async def peer(self, _: bytes, context: Any) -> bytes:
        address: str = context.peer()
        return address.encode()

    async def wait(self, _: bytes, context: Any) -> None:
        await context.write(b"waiting")
        await self.word.wait()
        await context.write(b"heard")


def on_server(
    test: Callable[[GrpcServer, Service], Awaitable[None]], not_ready: str = "", **options: float
) -> None:
    async def main() -> None:
        with trio.fail_after(PATIENCE_S):
            service = Service()
            changes = {name: Duration(seconds) for name, seconds in options.items()}
            local = GrpcServerOptions(address="127.0.0.1", port=0, **changes)
            server = GrpcServer(local, {SERVICE: service.handlers()}, 1000, lambda: not_ready)
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve)
                await test(server, service)
                server.stop()

    run(main)


async def echo(port: int, message: bytes = b"x") -> bytes:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer: bytes = await channel.unary_unary(f"/{SERVICE}/Echo")(message, timeout=PATIENCE_S)
        return answer


async def until(port: int, *, served: bool) -> None:
    """Return when calls are served, or are not any more."""
    while True:
        try:
            await in_asyncio(echo, port)
        except grpc.aio.AioRpcError as error:
            if not served and error.code() is grpc.StatusCode.UNAVAILABLE:
                return
        else:
            if served:
                return
        await trio.sleep(0.02)


async def holds(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.testing.wait_all_tasks_blocked(0.01)


async def health(port: int, service: str = "") -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
        return int(answer.status)


def test_a_server_that_leaves_goes_on_with_its_streams_and_comes_back() -> None:
    """No call gets in meanwhile; afterwards calls do, on the same port, and the old stream still runs."""

    async def test(server: GrpcServer, service: Service) -> None:
        port = server.port
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        stream = channel.unary_stream(f"/{SERVICE}/Wait")(b"")
        assert await in_asyncio(stream.read) == b"waiting"
        for _ in range(2):
            server.leave()
            await until(port, served=False)
            server.leave(leaving=False)
            await until(port, served=True)
        assert server.port == port
        service.word.set()
        assert await in_asyncio(stream.read) == b"heard"
        assert await in_asyncio(stream.read) is grpc.aio.EOF
        await in_asyncio(channel.close)
        # Nothing is kept of servers whose last stream has ended.
        await holds(lambda: len(server._servers) == 1 and not server._parting)

    on_server(test)


def test_connections_age_with_their_streams() -> None:
    """Before its streams end of age calls go to another one, so clients are placed anew; they go on."""

    async def on_one_channel(port: int, service: Service) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask = channel.unary_unary(f"/{SERVICE}/Peer")
            first = await ask(b"")
            stream = channel.unary_stream(f"/{SERVICE}/Wait")(b"")
            assert await stream.read() == b"waiting"
            while await ask(b"") == first:
                pass
            service.word.set()
            assert await stream.read() == b"heard"

    async def main() -> None:
        service = Service()
        options = GrpcServerOptions(address="127.0.0.1", port=0)
        server = GrpcServer(options, {SERVICE: service.handlers()}, 1000, str, age_max_s=0.5)
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve)
                await in_asyncio(on_one_channel, server.port, service)
                server.stop()

    run(main)


def test_a_port_that_is_taken_at_an_undrain_is_opened_when_it_is_free() -> None:
    """However long that takes; meanwhile it says why it is shut, unless it is to be."""

    async def test(server: GrpcServer, _: Service) -> None:
        server.leave()
        await until(server.port, served=False)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", server.port))
            other.listen()
            for _ in range(2):
                server.leave(leaving=False)
                await holds(lambda: "grpc_server.port" in server.shut)
                server._tell()
                assert server._health._status == health_pb2.HealthCheckResponse.NOT_SERVING
                server.leave()
                await holds(lambda: server.shut == "")
            server.leave(leaving=False)
            # Later than any attempt of a moment's patience.
            await holds(lambda: server._pause_s > 0.5)
        await until(server.port, served=True)
        assert server.shut == ""

    on_server(test)


@pytest.mark.parametrize("service", ["", SERVICE])
@pytest.mark.parametrize("not_ready", ["", "the broker is away"])
def test_health_is_the_nodes_readiness(service: str, not_ready: str) -> None:
    """For the whole, and for each service."""

    async def test(server: GrpcServer, _: Service) -> None:
        expected = health_pb2.HealthCheckResponse.NOT_SERVING if not_ready else 1
        # Said before the port is open, and from then on.
        assert await in_asyncio(health, server.port, service) == expected

    on_server(test, not_ready)


def test_messages_that_are_too_long_do_not_get_in() -> None:
    """They are refused before any handler sees them."""

    async def test(server: GrpcServer, _: Service) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
            await in_asyncio(echo, server.port, b"x" * 2000)

    on_server(test)


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    """At the start, before clients are told anything."""

    async def main(port: int) -> None:
        options = GrpcServerOptions(address="127.0.0.1", port=port)
        await GrpcServer(options, {}, 1000, str).serve()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(GrpcError, match=r"grpc_server\.port"):
            run(main, taken.getsockname()[1])
