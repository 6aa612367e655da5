"""What a node says of itself in the catalog."""

import resource
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from node.broker.memory import MemoryBroker
from node.config.options import DrainOptions
from node.drain import Drain
from node.outage import Outage
from node.report import Identity, Reporter, addresses, capacity
from node.transports import emulated_transport, emulation_post, http_stream
from node.transports.routes import routes
from protos.catalog_pb2 import NodeReport, Order
from tests.node.node_in_memory import MemoryNode, config, memory_node

WHO = Identity("node-1", "instance", "1.2.3", "http://node-1:8000")


@pytest.fixture
async def node() -> AsyncIterator[MemoryNode]:
    async with memory_node() as node:
        yield node


def reporter(node: MemoryNode, reason: list[str], **overrides: object) -> tuple[Reporter, Drain]:
    drain = Drain(DrainOptions(), "instance", 0.0)
    parts = replace(node.parts, config=config(**overrides))
    made = Reporter(WHO, parts, drain, node.broker, Outage(10), lambda: reason[-1])
    return made, drain


async def test_a_report_says_who_and_how_many(node: MemoryNode) -> None:
    """Name, instance, counts of now, and numbers that rise."""
    made, _ = reporter(node, [""], client__connection_rate_limit=50, node__capacity=7)
    session, _ = await node.connected()
    report = made.report(0.0)
    assert (report.name, report.instance, report.version) == ("node-1", "instance", "1.2.3")
    assert (report.number, made.report(0.0).number) == (1, 2)
    assert (report.connections, report.capacity, report.connect_rate_max) == (1, 7, 50)
    assert report.memory_bytes > 1_000_000
    session.end()
    assert made.report(0.0).connections == 0


async def test_the_state_has_its_reason(node: MemoryNode) -> None:
    """Serving, not ready, leaving: and how far it has come, for those who ordered it."""
    reasons = [""]
    made, drain = reporter(node, reasons)
    assert made.report(0.0).state == NodeReport.SERVING
    reasons.append("the broker was not reached yet")
    report = made.report(0.0)
    assert (report.state, report.reason) == (NodeReport.NOT_READY, "the broker was not reached yet")
    told = Order(instance="instance", fence=3, number=1, plan_id="p", action=Order.MOVE, count=4, rate=1)
    drain.obey(told, 0.0)
    report = made.report(0.0)
    assert (report.moving.count, report.HasField("leaving"), report.fence) == (4, False, 3)
    drain.obey(Order(fence=1, instance="instance", action=Order.SERVE), 0.0)
    drain.stop(20, 0.0)
    report = made.report(5.0)
    assert (report.state, report.leaving.ends_in_s, report.orders_refused) == (NodeReport.LEAVING, 15, 1)
    assert not report.HasField("moving")


async def test_how_long_the_broker_is_away_is_for_others_to_act_on(
    node: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In seconds; beyond its limit the node says that it is cut off, until the connection has lasted."""
    made, _ = reporter(node, [""])

    def told(away_s: float, now: float) -> tuple[float, int]:
        monkeypatch.setattr(MemoryBroker, "disconnected_for_s", away_s)
        report = made.report(now)
        return report.broker_lost_s, report.broker_outage

    assert told(0.0, 0.0) == (0, 0)
    assert told(9.0, 9.0) == (9, 0)
    assert told(11.0, 11.0) == (11, 1)
    assert told(0.0, 12.0) == (0, 1)
    assert told(0.0, 22.0) == (0, 0)


async def test_rates_are_of_the_time_between_reports(
    node: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Per second, from what was counted; a report right after another repeats the rates."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    made, _ = reporter(node, [""])
    node.metrics.bytes_out += 3000
    node.metrics.publications_out["live"] += 30
    node.metrics.connections_opened["websocket"] += 6
    clock[0] += 2
    report = made.report(0.0)
    assert (report.bytes_out_per_s, report.publications_per_s, report.connect_rate) == (1500, 15, 3)
    clock[0] += 0.1
    report = made.report(0.0)
    assert (report.bytes_out_per_s, report.uptime_s) == (1500, pytest.approx(2.1))
    clock[0] += 1.9
    assert made.report(0.0).bytes_out_per_s == 0


async def test_what_a_connect_costs_gives_the_rate_it_can_take(
    node: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a limit, half a core divided by the measured cost; nothing is said before one is known."""
    clock, cpu = [100.0], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "process_time", lambda: cpu[0])
    made, _ = reporter(node, [""])
    assert made.report(0.0).connect_rate_max == 0
    for connects in [0, 0, 400, 400, 0, 400]:
        clock[0] += 1
        cpu[0] += 0.01 + connects * 0.0005
        node.metrics.connections_opened["websocket"] += connects
        report = made.report(0.0)
    assert report.connect_cost_s == pytest.approx(0.0005, rel=0.01)
    assert report.connect_rate_max == pytest.approx(1000, rel=0.01)
    assert report.cpu == pytest.approx(0.21)


@pytest.mark.parametrize(
    ("url", "socket", "stream"),
    [
        ("http://a:8000", "ws://a:8000/connection/websocket", "http://a:8000/sse"),
        ("https://a.example/", "wss://a.example/connection/websocket", "https://a.example/sse"),
        ("https://a.example/n1", "wss://a.example/n1/connection/websocket", "https://a.example/n1/sse"),
    ],
)
def test_addresses_are_made_from_the_public_one(url: str, socket: str, stream: str) -> None:
    """Each transport in its scheme, a path of a proxy included."""
    found = {address.transport: address.url for address in addresses(url, config())}
    assert (found["websocket"], found["sse"]) == (socket, stream)


async def test_what_is_served_has_an_address(node: MemoryNode) -> None:
    """Every transport that is switched on, and no other; under its name in the metrics."""
    few = {address.transport for address in addresses("http://a", config())}
    assert few == {"websocket", "uni_sse", "ws", "sse", "http"}
    sections = ("sse", "http_stream", "uni_http_stream", "uni_websocket")
    everything = config(**{f"{section}__enabled": True for section in sections})
    served = routes(replace(node.parts, config=everything))
    found = {urlsplit(address.url).path: address for address in addresses("http://a", everything)}
    assert set(found) == {"", *served.streams, *served.websockets} - {emulation_post.PATH}
    assert found[http_stream.SSE_PATH].transport == emulated_transport.SSE.name
    for path in served.websockets:
        assert found[path].url == f"ws://a{path}"


def test_capacity_is_what_was_said_or_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting, then the limit of connections, then that of open files."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1064, 2000))
    assert capacity(config()) == 1000
    assert capacity(config(client__connection_limit=50)) == 50
    assert capacity(config(client__connection_limit=50, node__capacity=40)) == 40
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 0))
    assert capacity(config()) == 50_000
