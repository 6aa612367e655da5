"""A whole node in this process: it starts, serves, stops in order, and says why it cannot."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import h11
import pytest
import trio
from msgspec import Raw

from node.broker.interface import BrokerUnavailable
from node.broker.memory import MemoryBroker
from node.broker.nats.broker import NatsBroker
from node.broker.nats.key_value import Bucket
from node.config.load import load
from node.config.options import Config
from node.door.listeners import DoorError
from node.drain import Phase
from node.hub import Hub
from node.protocol.messages import Publication
from node.serve import Node, Ready
from node.telemetry.series import BROKER_COUNTERS, OBSERVED
from protos.catalog_format import decode, encode, order_key, segment
from protos.catalog_pb2 import NodeReport, Order
from tests.fakes.catalog import CatalogStore, FakeNodeCatalog
from tests.nats_server import NatsServer
from tests.patience import PATIENCE_S

OPEN = {
    "client.insecure": True,
    "http_api.insecure": True,
    "channel.without_namespace.history_size": 10,
    "channel.without_namespace.history_ttl": 60,
    "http_server.address": "127.0.0.1",
    "http_server.port": 0,
    "drain.arrivals_quiet_s": 0,
    "drain.arrivals_wait_max_s": 0,
}


def config(**overrides: object) -> Config:
    return load(None, {}, {**OPEN, **{name.replace("__", "."): value for name, value in overrides.items()}})


@asynccontextmanager
async def running(configuration: Config, on_ready: Ready | None = None) -> AsyncIterator[Node]:
    """A node whose port is open; it is told to stop in the end, and must have ended by its deadline."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as background:
            node = Node(configuration, background)
            async with trio.open_nursery() as serving:
                serving.start_soon(node.run, on_ready)
                while not node.door.addresses:
                    await trio.lowlevel.checkpoint()
                try:
                    yield node
                finally:
                    node.stopping.set()
            background.cancel_scope.cancel()


async def call(node: Node, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    stream = await trio.open_tcp_stream(*node.door.addresses[0])
    async with stream:
        http = h11.Connection(h11.CLIENT)
        headers = [("Host", "test"), ("Connection", "close"), ("Content-Length", str(len(body)))]
        parts = (
            h11.Request(method=method, target=target, headers=headers),
            h11.Data(body),
            h11.EndOfMessage(),
        )
        await stream.send_all(b"".join(http.send(part) or b"" for part in parts))
        status, answer = 0, b""
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                answer += event.data
        return status, answer


def fields(order: Order) -> dict[str, Any]:
    return {field.name: value for field, value in order.ListFields()}


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    received = b""
    while end not in received:
        data = await stream.receive_some()
        assert data, received
        received += data
    return received


async def test_a_stopping_node_delivers_what_it_accepted_and_tells_its_clients() -> None:
    """Everything published before the stop arrives, then the goodbye; then the port is closed."""
    async with running(config(broker__type="memory")) as node:
        stream = await trio.open_tcp_stream(*node.door.addresses[0])
        async with stream:
            await stream.send_all(b"GET /sse?channel=news HTTP/1.1\r\nHost: test\r\n\r\n")
            await read_until(stream, b"event: subscribed")
            for number in range(20):
                body = json.dumps({"channel": "news", "data": number}).encode()
                assert (await call(node, "POST", "/api/publish", body))[0] == 200
            node.stopping.set()
            rest = b"".join([data async for data in stream])
        for number in range(20):
            assert b'"data":%d,' % number in rest
        assert b"retry:" in rest[rest.rindex(b'"data":19,') :]
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream(*node.door.addresses[0])


async def test_a_node_that_is_never_done_writing_tells_its_clients_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other nodes go on publishing while one stops: writing has half of its time."""

    async def stand_still(_hub: Hub) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Hub, "run", stand_still)
    async with running(config(broker__type="memory", shutdown__timeout=3)) as node:
        stream = await trio.open_tcp_stream(*node.door.addresses[0])
        async with stream:
            await stream.send_all(b"GET /sse?channel=news HTTP/1.1\r\nHost: test\r\n\r\n")
            await read_until(stream, b"event: subscribed")
            node.hub.publish("news", Publication(Raw(b"1")))
            node.stopping.set()
            await read_until(stream, b"event: disconnect\n")


async def test_a_drained_node_refuses_with_its_port_open_and_serves_again() -> None:
    """Ordered out of rotation: 503 with the reason, clients told; ordered back: as if nothing had been."""
    async with running(config(broker__type="memory")) as node:
        order = Order(instance=node.describe().uid, fence=1, rate=100, ends_in_s=10)
        stream = await trio.open_tcp_stream(*node.door.addresses[0])
        async with stream:
            await stream.send_all(b"GET /sse?channel=news HTTP/1.1\r\nHost: test\r\n\r\n")
            await read_until(stream, b"event: subscribed")
            node.leaving.obey(Order(number=1, action=Order.DRAIN, **fields(order)))
            await read_until(stream, b'"code":3001')
        assert await call(node, "GET", "/readyz") == (503, b"the node is draining\n")
        status, answer = await call(node, "GET", "/sse?channel=news")
        assert (status, answer.startswith(b"retry: ")) == (200, True)
        while node.drain.phase is not Phase.EMPTY:
            await trio.lowlevel.checkpoint()
        metrics = node.metrics.render()
        assert b"broadcast_drain_phase 3.0" in metrics
        assert b"broadcast_sent_away_total 1.0" in metrics
        node.leaving.obey(Order(number=2, action=Order.SERVE, **fields(order)))
        assert await call(node, "GET", "/readyz") == (200, b"ready\n")
        stream = await trio.open_tcp_stream(*node.door.addresses[0])
        async with stream:
            await stream.send_all(b"GET /sse?channel=news HTTP/1.1\r\nHost: test\r\n\r\n")
            await read_until(stream, b"event: subscribed")


async def test_an_order_in_the_catalog_ends_a_node() -> None:
    """A drain with `stop`, written where coordinators write: the node reports, obeys, and its run returns."""
    with NatsServer() as server:
        async with running(config(broker__nats__url=server.url, catalog__report_interval_s=0.1)) as node:
            assert isinstance(node.broker, NatsBroker)
            nodes, plans = (Bucket(node.broker.feed, f"broadcast_{name}") for name in ("nodes", "plans"))
            reported = None
            while reported is None:
                with suppress(BrokerUnavailable):
                    reported = await nodes.get(segment(node.name), deadline_s=1)
                await trio.lowlevel.checkpoint()
            report = decode(NodeReport, reported[0])
            assert (report.name, report.state) == (node.name, NodeReport.SERVING)
            await plans.create(max_age_s=0, replicas=1, deadline_s=1)
            order = Order(instance=report.instance, fence=7, number=1, action=Order.DRAIN, stop=True)
            await plans.put(order_key(node.name), encode(order), deadline_s=1)
            with trio.fail_after(PATIENCE_S):
                await node.leaving.done.wait()


async def test_a_node_reports_at_once_that_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it reported before keeps clients away: it is not left standing until the next report is due."""
    store = CatalogStore()
    monkeypatch.setattr("node.serve.open_catalog", lambda *_: FakeNodeCatalog(store, "node-1", 3600))
    monkeypatch.setattr(MemoryBroker, "connected", False)
    async with running(config(broker__type="memory", node__name="node-1")):
        while "node-1" not in store.nodes:
            await store.news.wait()
        assert store.nodes["node-1"].state == NodeReport.NOT_READY
        monkeypatch.setattr(MemoryBroker, "connected", True)
        while store.nodes["node-1"].state != NodeReport.SERVING:
            await store.news.wait()


async def test_a_node_cut_off_from_its_broker_says_so_to_those_it_sends_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They may have missed something: 3010, not 3001."""
    async with running(config(broker__type="memory")) as node:
        stream = await trio.open_tcp_stream(*node.door.addresses[0])
        async with stream:
            await stream.send_all(b"GET /sse?channel=news HTTP/1.1\r\nHost: test\r\n\r\n")
            await read_until(stream, b"event: subscribed")
            monkeypatch.setattr(MemoryBroker, "disconnected_for_s", 11.0)
            node.stopping.set()
            await read_until(stream, b'"code":3010')


async def test_a_node_without_its_broker_lives_and_is_not_ready() -> None:
    """NATS unreachable: alive, 503 with the reason, publishing an error, and ready is not announced."""
    announced: list[int] = []
    unreachable = config(broker__nats__url="nats://127.0.0.1:1", broker__nats__request_deadline_s=0.3)
    async with running(unreachable, lambda _address, port: announced.append(port)) as node:
        assert await call(node, "GET", "/livez") == (200, b"alive\n")
        assert await call(node, "GET", "/readyz") == (503, b"the broker was not reached yet\n")
        status, answer = await call(node, "POST", "/api/publish", b'{"channel":"news","data":1}')
        assert (status, json.loads(answer)["error"]["code"]) == (200, 100)
    assert announced == []


async def test_a_node_that_cannot_keep_its_history_says_which_stream_and_why() -> None:
    """Three copies on one server: not ready, by name, for a deploy to stop at; a number tells the alert."""
    with NatsServer() as server:
        copies = config(broker__nats__url=server.url, broker__nats__stream_replicas=3)
        async with running(copies) as node:
            answer = b""
            while b"replicas" not in answer:
                status, answer = await call(node, "GET", "/readyz")
                assert status == 503
            (name,) = node.broker.unusable()
            assert answer.startswith(f"stream {name} cannot be used: ".encode())
            assert b"broadcast_broker_stores_unusable 1.0" in node.metrics.render()


async def test_every_metric_that_parts_count_for_themselves_is_there() -> None:
    """A name with a meaning and without a number would be a promise that is not kept."""
    async with running(config(broker__type="memory")) as node:
        rendered = node.metrics.render().decode()
    for name in OBSERVED:
        assert f"\nbroadcast_{name} " in rendered or f"\nbroadcast_{name}_total " in rendered
    for name in BROKER_COUNTERS:
        assert f"\nbroadcast_{name}_total " in rendered


async def test_a_ready_node_says_so_once_with_its_port() -> None:
    """Port 0 becomes a real one, told when clients can be served; pages, probes and metrics answer."""
    announced: list[tuple[str, int, int]] = []
    memory = config(broker__type="memory", demo__enabled=True)
    async with running(memory, lambda *at: announced.append(at)) as node:
        while not announced:
            await trio.lowlevel.checkpoint()
        assert announced == [(*node.door.addresses[0], 0)]
        assert await call(node, "GET", "/readyz") == (200, b"ready\n")
        assert b"<!doctype html>" in (await call(node, "GET", "/"))[1]
        assert b"broadcast_ready 1.0" in (await call(node, "GET", "/metrics"))[1]


async def test_a_taken_port_is_said_before_anything_starts() -> None:
    """The error names the port and the option."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with trio.open_nursery() as background:
            node = Node(config(broker__type="memory", http_server__port=port), background)
            with pytest.RaisesGroup(pytest.RaisesExc(DoorError, match=f"{port}.*http_server.port")):
                await node.run(None)
