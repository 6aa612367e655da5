"""`latency` and `scale`: what several nodes together do."""

import contextlib
from dataclasses import replace
from functools import partial

from tests.bench.arena import Arena, Contestant, publishing, round_of
from tests.bench.load import Worker
from tests.bench.measure import GO_NATS, NODE, Cpu, Round, by_server, ratios
from tests.bench.servers import HISTORY, Server, peer
from tests.bench.table import Bound, Row, delay_row, row_of

_LATENCY_RATE = 200.0
_SCALE_RATE = 60.0
_SCALES = (1, 2, 4)


def latency(arena: Arena) -> list[Row]:
    """From publishing on one node to delivery on another, unloaded: all samples, p50, p99 and p99.9."""
    rows = []
    with contextlib.ExitStack() as stack:
        (first, second), nats = stack.enter_context(arena.nodes(2))
        pairs = {"plain": [(first, second)], "history": [(first.at(HISTORY), second.at(HISTORY))]}
        if GO_NATS not in arena.missing:
            others = [stack.enter_context(peer(GO_NATS, nats=nats)) for _ in range(2)]
            pairs["plain"].append((others[0], others[1]))
        for kind, servers in pairs.items():
            with contextlib.ExitStack() as workers:
                contestants = []
                for publisher, subscriber in servers:
                    worker = workers.enter_context(Worker())
                    worker.connect([subscriber.target], "websocket", 1)
                    contestants.append(Contestant(publisher, worker))
                rounds = arena.rounds(contestants, partial(_play, arena))
            row = delay_row(f"latency {kind}, p99", rounds, Bound(limit=5))
            row.draws_delays = True
            rows.append(row)
    return rows


def _play(arena: Arena, contestant: Contestant, warm: bool) -> Round:
    server, worker = contestant
    plan = arena.plan(_LATENCY_RATE, arena.either(1.0 if warm else 5.0, 0.5 if warm else 1.0))
    return round_of(server, Cpu(0.0), worker.publish_and_receive(server.target, plan), plan, 1)


def scale(arena: Arena) -> list[Row]:
    """CPU per delivery of all nodes together: the same 1,000 subscribers on 1, 2 and 4 nodes, in turn."""
    clients = arena.clients(1000, 400)
    with contextlib.ExitStack() as stack:
        contestants = []
        for count in _SCALES:
            servers, _ = stack.enter_context(arena.nodes(count))
            worker = stack.enter_context(Worker())
            worker.connect([server.target for server in servers], "websocket", clients)
            contestants.append(Contestant(_together(servers), worker))
        played = by_server(arena.rounds(contestants, partial(_deliver, arena, clients)))
    alone = [each.cpu_us for each in played[_name(1)]]
    rows = []
    for count in _SCALES:
        rounds = [replace(each, server=NODE) for each in played[_name(count)]]
        row = row_of(f"scale, {_name(count)}", "us CPU/delivery", rounds, Bound())
        compared = ratios([each.cpu_us for each in rounds], alone)
        if count > 1 and compared is not None:
            row.notes.append(
                f"{compared.median:.2f} x one node ({compared.minimum:.2f} to {compared.maximum:.2f}; "
                "within 1.15 is wanted)"
            )
        rows.append(row)
    return rows


def _name(count: int) -> str:
    return f"{count} node{'s' if count > 1 else ''}"


def _together(servers: list[Server]) -> Server:
    """Several nodes as one server, under a name of its own."""
    pids = tuple(pid for server in servers for pid in server.pids)
    return Server(replace(servers[0].target, name=_name(len(servers))), pids, servers[0].beside)


def _deliver(arena: Arena, clients: int, contestant: Contestant, warm: bool) -> Round:
    plan = arena.plan(_SCALE_RATE, arena.either(1.0 if warm else 3.0, 0.5 if warm else 1.0))
    return publishing(contestant, plan, clients)
