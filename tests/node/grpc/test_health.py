"""The port's health: what is asked, what is watched, and who holds it up: nobody."""

import asyncio
from typing import Any

import grpc
import pytest
import trio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived
from h2.settings import SettingCodes

from node.config.durations import Duration
from node.config.grpc import GrpcServerOptions
from node.grpc.health import Health
from node.grpc.loop import in_asyncio, run
from node.grpc.server import GrpcServer
from tests.node.grpc.contexts import Aborted, FakeContext
from tests.node.grpc.test_server import SERVICE, Service
from tests.patience import PATIENCE_S

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Watcher:
    """A client of `Watch`."""

    def __init__(self, health: Health, service: str = "") -> None:
        self.context = FakeContext()
        request = health_pb2.HealthCheckRequest(service=service)
        self.task = asyncio.create_task(health.Watch(request, self.context))  # type: ignore[arg-type]

    async def hears(self, count: int) -> list[int]:
        responses: list[Any] = await self.context.take(count)
        return [response.status for response in responses]


async def read_nothing(port: int) -> trio.SocketStream:
    """Watch the whole with a window that is closed, and return when the server has begun to answer."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    path = "/grpc.health.v1.Health/Watch"
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")]
    connection.send_headers(1, [*fields, ("te", "trailers"), ("content-type", "application/grpc")])
    connection.send_data(1, bytes(5), end_stream=True)
    begun = False
    while not begun:
        await stream.send_all(connection.data_to_send())
        events = connection.receive_data(await stream.receive_some())
        begun = any(isinstance(event, ResponseReceived) for event in events)
    return stream


def test_one_that_reads_nothing_holds_nobody_up() -> None:
    """A stranger with a closed window costs itself alone: whoever else watches or asks is told."""

    async def main() -> None:
        reason = ["the broker was not reached yet"]
        options = GrpcServerOptions(address="127.0.0.1", port=0, keepalive_s=Duration(3600))
        server = GrpcServer(options, {SERVICE: Service().handlers()}, 1000, lambda: reason[0])
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            stranger = await read_nothing(server.port)
            with trio.fail_after(PATIENCE_S):
                await in_asyncio(watch_until_serving, server.port, reason)
            await stranger.aclose()
            server.stop()

    async def watch_until_serving(port: int, reason: list[str]) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watching = stub.Watch(health_pb2.HealthCheckRequest())
            assert (await watching.read()).status == NOT_SERVING
            reason[0] = ""
            assert (await watching.read()).status == SERVING
            for service in ("", SERVICE):
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
                assert answer.status == SERVING

    run(main)


def test_a_slow_watcher_is_told_how_it_is_now() -> None:
    """States that have passed meanwhile do not wait for it, so it costs no memory."""

    async def test() -> None:
        health = Health([SERVICE])
        slow, quick = Watcher(health), Watcher(health, SERVICE)
        assert await quick.hears(1) == await slow.hears(1) == [NOT_SERVING]
        slow.context.open.clear()
        for serving in (True, False, True):
            health.tell(serving=serving)
            assert await quick.hears(1) == [SERVING if serving else NOT_SERVING]
        slow.context.open.set()
        assert await slow.hears(1) == [SERVING]
        assert not slow.context.written
        slow.task.cancel()
        quick.task.cancel()
        await asyncio.wait([slow.task, quick.task])
        assert not health._watching

    asyncio.run(test())


def test_services_that_are_not_served_are_unknown() -> None:
    """As the contract has it: NOT_FOUND when asked, and a watch that stays open; those served are listed."""

    async def test() -> None:
        health = Health([SERVICE])
        context: Any = FakeContext()
        with pytest.raises(Aborted):
            await health.Check(health_pb2.HealthCheckRequest(service="other"), context)
        assert context.status[0] == "NOT_FOUND"
        stranger = Watcher(health, "other")
        assert await stranger.hears(1) == [UNKNOWN]
        health.tell(serving=True)
        listed = await health.List(health_pb2.HealthListRequest(), context)
        assert {name: answer.status for name, answer in listed.statuses.items()} == {
            "": SERVING,
            SERVICE: SERVING,
        }
        assert not stranger.task.done()
        stranger.task.cancel()
        await asyncio.wait([stranger.task])
        assert not stranger.context.written

    asyncio.run(test())
