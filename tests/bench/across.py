"""`latency` and `scale`: what several nodes together do."""

from functools import partial

from tests.bench.arena import Arena, Contestant, round_of
from tests.bench.load import Plan, Worker
from tests.bench.measure import NODE, Cpu, Round, Spread, percentile
from tests.bench.servers import HISTORY, PLAIN, Server, nodes
from tests.bench.table import Bound, Row, row_of

_PERCENTILES = (50, 99, 99.9)
_LATENCY_RATE = 200.0
_SCALE_RATE = 60.0


def latency(arena: Arena) -> list[Row]:
    """From publishing on one node to delivery on another, unloaded: all samples, p50, p99 and p99.9."""
    rows = []
    with nodes(2) as (first, second):
        for kind, channel in (("plain", PLAIN), ("history", HISTORY)):
            publisher, subscriber = first.at(channel), second.at(channel)
            with Worker() as worker:
                worker.connect([subscriber.target], "websocket", 1)
                rounds = arena.rounds([Contestant(publisher, worker)], partial(_play, arena))
            rows.append(_latency_row(kind, rounds))
    return rows


def _play(arena: Arena, contestant: Contestant, warm: bool) -> Round:
    server, worker = contestant
    plan = Plan(_LATENCY_RATE, arena.size(200 if warm else 1000, 100 if warm else 200))
    return round_of(server, Cpu(0.0), worker.publish_and_receive(server.target, plan), plan, 1)


def _latency_row(kind: str, rounds: list[Round]) -> Row:
    """The p99 of all samples between those of the best and the worst round."""
    row = row_of(f"latency {kind}, p99", "ms", rounds, Bound(limit=5))
    of_rounds = [percentile(sorted(each.samples), 99) * 1e3 for each in rounds]
    samples = sorted(sample for each in rounds for sample in each.samples)
    found = [percentile(samples, percent) * 1e3 for percent in _PERCENTILES]
    row.figures = {NODE: Spread(min(of_rounds), found[1], max(of_rounds))}
    named = ", ".join(f"p{percent:g} {ms:.2f}" for percent, ms in zip(_PERCENTILES, found, strict=True))
    row.notes.append(f"{named} ms, longest {samples[-1] * 1e3:.2f} ms of {len(samples):,}")
    row.notes.append("histogram: " + _histogram(samples))
    return row


def _histogram(ordered: list[float]) -> str:
    """How many samples took up to 0.25, 0.5, 1, ... ms."""
    parts, seen, limit_ms = [], 0, 0.25
    while seen < len(ordered):
        count = sum(sample * 1e3 <= limit_ms for sample in ordered)
        if count > seen:
            parts.append(f"<= {limit_ms:g} ms {count - seen:,}")
        seen, limit_ms = count, limit_ms * 2
    return ", ".join(parts)


def scale(arena: Arena) -> list[Row]:
    """CPU per delivery of all nodes together: the same 1,000 subscribers on 1, 2 and 4 nodes."""
    clients = arena.size(1000, 400)
    rows: list[Row] = []
    for count in (1, 2, 4):
        with nodes(count) as servers, Worker() as worker:
            worker.connect([server.target for server in servers], "websocket", clients)
            together = Server(
                servers[0].target, tuple(pid for server in servers for pid in server.pids), servers[0].beside
            )
            rounds = arena.rounds([Contestant(together, worker)], partial(_deliver, arena, clients))
        row = row_of(f"scale, {count} nodes", "us CPU/delivery", rounds, Bound())
        if rows:
            alone = rows[0].figures[NODE].median
            row.notes.append(f"{row.figures[NODE].median / alone:.2f} x one node (within 1.15 is wanted)")
        rows.append(row)
    return rows


def _deliver(arena: Arena, clients: int, contestant: Contestant, warm: bool) -> Round:
    server, worker = contestant
    plan = Plan(_SCALE_RATE, arena.size(60 if warm else 180, 30 if warm else 60))
    before = server.cpu()
    report = worker.publish_and_receive(server.target, plan)
    return round_of(server, server.cpu().since(before), report, plan, clients)
