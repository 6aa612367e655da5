"""`transports` and `neighbours`: what a delivery costs on each transport, and what it costs the others."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from tests.bench.arena import Arena, Contestant, publishing, round_of, wait_until_quiet
from tests.bench.load import Plan, Worker
from tests.bench.measure import ALONE, NODE, OVER_TLS, WEBSOCKET, Cpu, Round, by_server
from tests.bench.servers import PLAIN, Server, other_node
from tests.bench.table import Bound, Row, delay_row, row_of

_SIZE = 200
_CLIENTS = 300
_RATE = 30.0
# What hypercorn serves cannot be served to more of them at that rate. Over HTTP/3 a delivery costs the load
# generator about as much as the node, so that more clients would be limited by that.
_FEWER = {"sse over HTTP/2": 100, "sse over HTTP/3": 30}
_SAME = Bound(websocket=1.1)
# Which are compared with WebSocket, in the order of the table: row, transport, kind of node, bound.
_QUICK = (
    ("/connection/sse", "emulated sse", "", _SAME),
    ("/connection/http_stream", "http_stream", "", _SAME),
)
_MORE = (
    ("/connection/uni_sse", "sse", "", _SAME),
    ("WebSocket over TLS", "websocket over TLS", "tls", Bound()),
    ("gRPC Subscribe", "gRPC", "grpc", Bound(limit=60)),
    ("SSE over HTTP/2", "sse over HTTP/2", "", Bound()),
    ("SSE over TLS", "sse over TLS", "tls", Bound()),
    ("SSE over HTTP/3", "sse over HTTP/3", "tls", Bound()),
)
_GRPC_DELIVERIES = 5000.0
_NEIGHBOURS = 100
_NEIGHBOURS_RATE = 20.0


def transports(arena: Arena) -> list[Row]:
    """CPU per delivery of each transport, next to WebSocket: 300 clients, 200 bytes."""
    shown = _QUICK if arena.quick else _QUICK + _MORE
    names = ["websocket", *(transport for _, transport, _, _ in shown)]
    with _servers(arena, {kind for _, _, kind, _ in shown}) as servers, contextlib.ExitStack() as stack:
        kinds = {transport: kind for _, transport, kind, _ in shown}
        contestants = []
        for name in names:
            server = _named(servers[kinds.get(name, "")], name)
            worker = stack.enter_context(Worker())
            worker.connect([server.target], name, _clients(arena, name))
            contestants.append(Contestant(server, worker))
        played = by_server(arena.rounds(contestants, partial(_play, arena)))
    reference = played["websocket"]
    rows = [row_of("transports WebSocket", "us CPU/delivery", _as(reference, NODE), Bound())]
    for row, transport, _, bound in shown:
        rounds = [*_as(played[transport], NODE), *_as(reference, WEBSOCKET)]
        if transport == "sse over HTTP/3":
            rounds += _as(played["sse over TLS"], OVER_TLS)
        rows.append(row_of(f"transports {row}", "us CPU/delivery", rounds, bound))
    return rows


@contextlib.contextmanager
def _servers(arena: Arena, kinds: set[str]) -> Iterator[dict[str, Server]]:
    """A node for HTTP, under "", and one of each other kind."""
    with contextlib.ExitStack() as stack:
        (node,), nats = stack.enter_context(arena.nodes())
        found = {"": node}
        for kind in sorted(kinds - {""}):
            found[kind] = stack.enter_context(other_node(kind, nats, arena.profiles))
        if "tls" in found:
            secure = found["tls"]
            found["tls"] = replace(secure, target=replace(secure.target, publish_port=node.target.port))
        yield found


def _named(server: Server, name: str) -> Server:
    """A server for the clients of one transport: they have a channel to themselves."""
    own = server.at(f"{PLAIN}-{name.replace(' ', '-').replace('/', '-')}")
    return replace(own, target=replace(own.target, name=name))


def _clients(arena: Arena, name: str) -> int:
    clients = arena.clients(_CLIENTS, _CLIENTS)
    return min(clients, _FEWER.get(name, clients))


def _play(arena: Arena, contestant: Contestant, warm: bool) -> Round:
    seconds = arena.either(1.0 if warm else 2.0, 0.2 if warm else 0.3)
    plan = replace(arena.plan(_RATE, seconds), size=arena.options.size or _SIZE)
    return publishing(contestant, plan, _clients(arena, contestant.server.name))


def _as(rounds: list[Round], server: str) -> list[Round]:
    return [replace(each, server=server) for each in rounds]


def neighbours(arena: Arena) -> list[Row]:
    """p99 of WebSocket clients while another node makes 5,000 gRPC deliveries/s, and while it does not."""
    rounds: list[Round] = []
    cpu_us: list[float] = []
    streams = arena.clients(_CLIENTS, _CLIENTS)
    seconds = arena.either(3.0, 1.0)
    size = arena.options.size or _SIZE
    plan = Plan(_NEIGHBOURS_RATE, round(_NEIGHBOURS_RATE * seconds), size=size)
    rate = _GRPC_DELIVERIES / streams
    disturbing = Plan(rate, round(rate * seconds), size=size)
    with _servers(arena, {"grpc"}) as servers, Worker() as worker, Worker() as beside:
        node, other = _named(servers[""], NODE), _named(servers["grpc"], "gRPC")
        worker.connect([node.target], "websocket", _NEIGHBOURS)
        beside.connect([other.target], "gRPC", streams)
        for number in range(1 + arena.round_count):  # the first one is the warm-up
            for name in (ALONE, NODE):
                wait_until_quiet(other)
                before = other.cpu()
                worker.start("publish_and_receive", node.target, plan)
                if name == NODE:
                    disturbed = beside.publish_and_receive(other.target, disturbing)
                report = worker.result()
                if number:
                    rounds.append(replace(round_of(node, Cpu(0.0), report, plan, _NEIGHBOURS), server=name))
                    if name == NODE:
                        cpu_us.append(other.cpu().since(before).own / disturbed.came * 1e6)
    row = delay_row("neighbours of gRPC, p99", rounds, Bound(alone=2))
    row.notes.append(f"{_NEIGHBOURS} WebSocket clients, {_NEIGHBOURS_RATE:g} publications/s")
    row.notes.append(f"{min(cpu_us):.0f} to {max(cpu_us):.0f} us CPU per gRPC delivery meanwhile")
    return [row]
