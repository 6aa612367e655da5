"""`fanout` and `burst`: what a delivery costs, one publication at a time and many at once."""

from functools import partial

from tests.bench.arena import Arena, Contestant, publishing
from tests.bench.load import Plan
from tests.bench.measure import FLOOR, GO, Round, by_server, percentile
from tests.bench.table import Bound, Row, row_of

_RATE = 60.0
_BURST_RATE = 1000.0
# Publications that come together; twenty times a second.
_BURST = 50
_BURST_CLIENTS = 200


def fanout(arena: Arena) -> list[Row]:
    """CPU per delivery: 128-byte publications at 60/s to 1,000 subscribers, WebSocket and SSE."""
    clients = arena.size(1000, 500)
    rows = []
    for transport in ("websocket", "sse"):
        with arena.contestants(FLOOR, GO) as contestants:
            for server, worker in contestants:
                worker.connect([server.target], transport, clients)
            rounds = arena.rounds(contestants, partial(_play_fanout, arena, clients))
        row = row_of(f"fanout {transport}", "us CPU/delivery", rounds, Bound(floor=1.25, go=0.6))
        row.notes.append(latencies(rounds))
        rows.append(row)
    return rows


def _play_fanout(arena: Arena, clients: int, contestant: Contestant, warm: bool) -> Round:
    count = arena.size(60 if warm else 180, 30 if warm else 45)
    return publishing(contestant, Plan(_RATE, count), clients)


def burst(arena: Arena) -> list[Row]:
    """CPU per publication and subscriber: 1,000 publications/s to 200 subscribers, in bursts and evenly."""
    rows = []
    with arena.contestants(FLOOR, GO) as contestants:
        for server, worker in contestants:
            worker.connect([server.target], "websocket", _BURST_CLIENTS)
        for name, size in (
            ((f"of {_BURST}", _BURST),) if arena.quick else ((f"of {_BURST}", _BURST), ("of 1", 1))
        ):
            rounds = arena.rounds(contestants, partial(_play_burst, arena, size))
            bound = Bound(floor=0.4) if size > 1 else Bound()
            row = row_of(f"burst {name}", "us CPU/publication and client", rounds, bound)
            row.notes += [latencies(rounds), _joined(rounds)]
            rows.append(row)
    return rows


def _play_burst(arena: Arena, size: int, contestant: Contestant, warm: bool) -> Round:
    count = arena.size(500 if warm else 2000, 250 if warm else 1000)
    played = publishing(contestant, Plan(_BURST_RATE, count, size), _BURST_CLIENTS)
    played.joins = True
    return played


def _joined(rounds: list[Round]) -> str:
    """How many publications came together, of each server, in a note."""
    found = by_server(rounds).items()
    texts = [
        f"{server} {sum(r.came for r in each) / sum(r.reads for r in each):.1f}" for server, each in found
    ]
    return "deliveries per read of the load generator: " + ", ".join(texts)


def latencies(rounds: list[Round]) -> str:
    """How long the deliveries of each server took, in a note."""
    samples: dict[str, list[float]] = {}
    for each in rounds:
        samples.setdefault(each.server, []).extend(each.samples)
    texts = []
    for server, found in samples.items():
        found.sort()
        middle, most = (percentile(found, percent) * 1e3 for percent in (50, 99))
        texts.append(f"{server} {middle:.1f} and {most:.1f} ms")
    return "publish to delivery, p50 and p99: " + ", ".join(texts)
