"""`fanout` and `burst`: what a delivery costs, one publication at a time and many at once."""

from functools import partial

from tests.bench.arena import Arena, Contestant, publishing
from tests.bench.measure import FLOOR, GO, HYPERCORN, TRIO_WEBSOCKET, Round, by_server
from tests.bench.table import PEERS, Bound, Row, row_of

_RATE = 60.0
# The ready-made ways cannot keep _RATE: all are compared at one that they can.
_LOW_RATE = 3.0
_WAYS = {"websocket": (TRIO_WEBSOCKET, HYPERCORN), "sse": (HYPERCORN,)}
_BURST_RATE = 1000.0
# Publications that come together; twenty times a second.
_BURST = 50


def fanout(arena: Arena) -> list[Row]:
    """CPU per delivery: 60 publications/s to 1,000 subscribers, WebSocket and SSE."""
    rows = [_fanout(arena, transport, _RATE, (FLOOR, GO)) for transport in _WAYS]
    if not arena.quick:
        rows += [_fanout(arena, transport, _LOW_RATE, ways) for transport, ways in _WAYS.items()]
    return rows


def _fanout(arena: Arena, transport: str, rate: float, peers: tuple[str, ...]) -> Row:
    clients = arena.clients(1000, 500)
    with arena.contestants(*peers) as contestants:
        for server, worker in contestants:
            worker.connect([server.target], transport, clients)
        rounds = arena.rounds(contestants, partial(_play_fanout, arena, rate, clients))
    name, bound = f"fanout {transport}", Bound(floor=1.25, go=0.6)
    if rate == _LOW_RATE:
        name, bound = f"low rate {name}", Bound()
    row = row_of(name, "us CPU/delivery", rounds, bound)
    row.notes += latencies(row)
    return row


def _play_fanout(arena: Arena, rate: float, clients: int, contestant: Contestant, warm: bool) -> Round:
    plan = arena.plan(rate, arena.either(1.0 if warm else 3.0, 0.5 if warm else 0.75))
    return publishing(contestant, plan, clients)


def burst(arena: Arena) -> list[Row]:
    """CPU per publication and subscriber: 1,000 publications/s to 200 subscribers, in bursts and evenly."""
    clients = arena.clients(200, 200)
    rows = []
    with arena.contestants(FLOOR, GO) as contestants:
        for server, worker in contestants:
            worker.connect([server.target], "websocket", clients)
        for size in (_BURST,) if arena.quick else (_BURST, 1):
            rounds = arena.rounds(contestants, partial(_play_burst, arena, size, clients))
            bound = Bound(floor=0.4) if size > 1 else Bound()
            row = row_of(f"burst of {size}", "us CPU/publication and client", rounds, bound)
            row.notes += [*latencies(row), _joined(rounds)]
            rows.append(row)
    return rows


def _play_burst(arena: Arena, size: int, clients: int, contestant: Contestant, warm: bool) -> Round:
    plan = arena.plan(_BURST_RATE, arena.either(0.5 if warm else 2.0, 0.25 if warm else 1.0), size)
    played = publishing(contestant, plan, clients)
    played.joins = True
    return played


def _joined(rounds: list[Round]) -> str:
    """How many publications came together, of each server, in a note."""
    texts = [
        f"{PEERS.get(server, server)} {sum(r.came for r in each) / sum(r.reads for r in each):.1f}"
        for server, each in by_server(rounds).items()
    ]
    return "deliveries per read of the load generator: " + ", ".join(texts)


def latencies(row: Row) -> list[str]:
    """How long the deliveries of each server took, as a note."""
    texts = [
        f"{PEERS.get(server, server)} {delays.percentiles['p50']:.1f} and {delays.percentiles['p99']:.1f} ms"
        for server, delays in row.delays.items()
    ]
    return ["publish to delivery, p50 and p99: " + ", ".join(texts)]
