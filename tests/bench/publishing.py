"""`publish`: what a publication costs over HTTP, on plain channels and on those with history."""

from functools import partial

from tests.bench.arena import Arena, Contestant
from tests.bench.measure import FLOOR, GO, NODE, Round, percentile
from tests.bench.servers import HISTORY, PLAIN
from tests.bench.table import Bound, Row, row_of

_SIZE = 128
_PLAIN = Bound(limit=90, go=1.0)
_HISTORY = Bound(limit=150)


def publish(arena: Arena) -> list[Row]:
    """CPU per publication over HTTP without subscribers: 1 and 16 connections, plain and history."""
    rows = []
    for kind, channel, bound in (("plain", PLAIN, _PLAIN), ("history", HISTORY, _HISTORY)):
        peers = (FLOOR, GO) if channel == PLAIN else (GO,)
        with arena.contestants(*peers, history=channel == HISTORY) as contestants:
            there = [Contestant(server.at(channel), worker) for server, worker in contestants]
            for connections in (1, 16):
                rounds = arena.rounds(there, partial(_play, arena, connections))
                row = row_of(f"publish {kind}, {connections} at once", "us CPU/publication", rounds, bound)
                row.notes += _beside(rounds)
                if GO in row.figures:
                    row.notes.append("the Go peer has no broker: a publication does not leave its process")
                rows.append(row)
    return rows


def _play(arena: Arena, connections: int, contestant: Contestant, warm: bool) -> Round:
    server, worker = contestant
    count = arena.size(500 if warm else 4000, 300 if warm else 1500)
    before = server.cpu()
    report = worker.publish_at_once(server.target, connections, count, _SIZE)
    cpu = server.cpu().since(before)
    return Round(
        server.name, count, cpu, report.wall_s, report.cpu_s, count, report.came, samples=report.samples
    )


def _beside(rounds: list[Round]) -> list[str]:
    """What the node's rounds say beside their CPU time."""
    ours = [each for each in rounds if each.server == NODE]
    samples = sorted(sample for each in ours for sample in each.samples)
    rate = sum(each.came for each in ours) / sum(each.wall_s for each in ours)
    nats_us = sum(each.cpu.beside for each in ours) / sum(each.units for each in ours) * 1e6
    middle, most = percentile(samples, 50) * 1e3, percentile(samples, 99) * 1e3
    return [
        f"node {rate:,.0f}/s, answered after {middle:.2f} ms (p50) and {most:.2f} ms (p99)",
        f"nats-server {nats_us:.0f} us CPU/publication beside the node",
    ]
