"""`publish`: what a publication costs over HTTP, on plain channels and on those with history."""

from functools import partial

from tests.bench.arena import Arena, Contestant
from tests.bench.measure import FLOOR, GO, GO_NATS, HYPERCORN, Round, by_server
from tests.bench.servers import HISTORY, PLAIN
from tests.bench.table import PEERS, Bound, Row, row_of

_PLAIN = Bound(limit=90, go=1.0)
_HISTORY = Bound(limit=150)


def publish(arena: Arena) -> list[Row]:
    """CPU per publication over HTTP without subscribers: 1 and 16 connections, plain and history."""
    rows = []
    for kind, channel, bound in (("plain", PLAIN, _PLAIN), ("history", HISTORY, _HISTORY)):
        with arena.contestants(*_peers(arena, kind), history=kind == "history") as contestants:
            there = [Contestant(server.at(channel), worker) for server, worker in contestants]
            for connections in (1, 16):
                rounds = arena.rounds(there, partial(_play, arena, connections))
                row = row_of(f"publish {kind}, {connections} at once", "us CPU/publication", rounds, bound)
                row.notes += _beside(row, rounds)
                rows.append(row)
    return rows


def _peers(arena: Arena, kind: str) -> tuple[str, ...]:
    """The library of the Go peer has no broker for NATS with history."""
    if kind == "history":
        return (GO,)
    return (FLOOR, GO, GO_NATS) if arena.quick else (FLOOR, GO, GO_NATS, HYPERCORN)


def _play(arena: Arena, connections: int, contestant: Contestant, warm: bool) -> Round:
    server, worker = contestant
    count = arena.either(500 if warm else 4000, 300 if warm else 1500)
    before = server.cpu()
    report = worker.publish_at_once(server.target, connections, count, arena.payload)
    cpu = server.cpu().since(before)
    return Round(
        server.name, count, cpu, report.wall_s, report.cpu_s, count, report.came, samples=report.samples
    )


def _beside(row: Row, rounds: list[Round]) -> list[str]:
    """What the rounds say beside CPU time: each connection waits for an answer before it goes on."""
    found = []
    for server, played in by_server(rounds).items():
        rate = sum(each.came for each in played) / sum(each.wall_s for each in played)
        nats_us = sum(each.cpu.beside for each in played) / sum(each.units for each in played) * 1e6
        delays = row.delays[server].percentiles
        text = (
            f"{PEERS.get(server, server)} {rate:,.0f}/s, answered after {delays['p50']:.2f} ms (p50) and "
            f"{delays['p99']:.2f} ms (p99)"
        )
        if nats_us:
            text += f"; nats-server {nats_us:.0f} us CPU/publication beside it"
        found.append(text)
    if GO in row.figures:
        found.append("the Go peer has no broker: a publication does not leave its process")
    return found
