"""`connect` and `memory`: what a client costs that comes, and one that is only there."""

from tests.bench.arena import Arena, Contestant, wait_until_quiet
from tests.bench.measure import FLOOR, GO, NODE, Round, Spread, ratios
from tests.bench.subscribers import LoadError
from tests.bench.table import Bound, Row, row_of

_MEMORY_BOUNDS = {"websocket": 12.0, "sse": 8.0}
# Clients that are there before memory is measured: what a server builds once is not theirs.
_FIRST = 200


def connect(arena: Arena) -> list[Row]:
    """CPU to connect and subscribe a WebSocket client: 5,000 at once, as many as backlogs take."""
    all_clients = arena.clients(5000, 1000)

    def play(contestant: Contestant, warm: bool) -> Round:
        server, worker = contestant
        clients = max(1, all_clients // 5) if warm else all_clients
        before = server.cpu()
        report = worker.connect([server.target], "websocket", clients)
        cpu = server.cpu().since(before)
        worker.disconnect()
        wait_until_quiet(server)
        return Round(server.name, clients, cpu, report.wall_s, report.cpu_s, clients, report.answers)

    with arena.contestants(FLOOR, GO) as contestants:
        rounds = arena.rounds(contestants, play)
    row = row_of("connect", "us CPU/client", rounds, Bound(go=1.5))
    assert row.wall is not None
    row.notes.append(
        f"all {all_clients:,} were connected and subscribed after {row.wall.median:.2f} s (node)"
    )
    return [row]


def memory(arena: Arena) -> list[Row]:
    """Memory of an idle subscribed client: a server's own memory with and without a few thousand."""
    clients = arena.clients(4000, 1000)
    rows = []
    for transport, limit in _MEMORY_BOUNDS.items():
        found: dict[str, list[float]] = {}
        for _ in range(arena.options.rounds or arena.either(3, 1)):  # each with a server of its own
            with arena.contestants(GO) as contestants:
                for server, worker in contestants:
                    worker.connect([server.target], transport, _FIRST)
                    wait_until_quiet(server)
                    before = server.memory()
                    worker.connect([server.target], transport, clients)
                    wait_until_quiet(server)
                    found.setdefault(server.name, []).append((server.memory() - before) / clients / 1000)
        figures = {name: Spread.of(values) for name, values in found.items()}
        compared = ratios(found[NODE], found.get(GO, ()))
        row = Row(f"memory {transport}", "kB/client", figures, bound=Bound(limit=limit))
        if compared is not None:
            row.ratios[GO] = compared
        if figures[NODE].minimum <= 0:
            raise LoadError(
                f"{row.name}: a server does not grow with its clients; something else was measured"
            )
        row.notes.append("the process's own memory (PSS); sockets in the kernel are not in it")
        rows.append(row)
    return rows
