"""`crowd`, `overload` and `recover`: very many clients of a channel, and very many who come back at once."""

import json
import resource
import urllib.request
from dataclasses import replace

from tests.bench.arena import Arena, Contestant, publishing, round_of, wait_until_quiet
from tests.bench.frames import Target
from tests.bench.load import Plan, Report, Worker
from tests.bench.measure import NODE, Cpu, Round, Spread
from tests.bench.options import FILES_BESIDE
from tests.bench.servers import HISTORY, PLAIN, Server
from tests.bench.table import Bound, Row, delay_row, row_of

_OTHERS = 20
_OTHERS_RATE = 20.0
_OVERLOAD_CLIENTS = 3000
# Times the clients, twice the deliveries that a node can send one by one.
_OVERLOAD_RATE = 80.0
_MISSED = 20
_CHANNELS = 50


def crowd(arena: Arena) -> list[Row]:
    """15,000 clients on one node, a publication a second: how long all have it; 20 others meanwhile."""
    wanted = arena.clients(15_000, 3000)
    clients, files = _at_most(wanted)
    many: list[Round] = []
    few: list[Round] = []
    with arena.nodes() as ((server,), _), Worker() as worker, Worker() as aside:
        others = server.at(f"{PLAIN}-others")
        worker.connect([server.target], "websocket", clients)
        aside.connect([others.target], "websocket", _OTHERS)
        wait_until_quiet(server)
        seconds = arena.either(4, 2)
        plan = Plan(1.0, seconds, size=arena.payload)
        beside = Plan(_OTHERS_RATE, seconds * int(_OTHERS_RATE), size=arena.payload)
        for number in range(1 + arena.round_count):  # the first one is the warm-up
            before = server.cpu()
            worker.start("publish_and_receive", server.target, plan)
            aside.start("publish_and_receive", others.target, beside)
            reports = worker.result(), aside.result()
            if number:
                many.append(round_of(server, server.cpu().since(before), reports[0], plan, clients))
                few.append(round_of(others, Cpu(0.0), reports[1], beside, _OTHERS))
    rows = [
        delay_row(f"crowd of {clients:,}, p99", many, Bound(limit=300)),
        delay_row("crowd, other channels' p99", few, Bound(limit=30)),
    ]
    deliveries = sum(each.came for each in many + few)
    cpu_us = sum(each.cpu.own for each in many) / deliveries * 1e6
    load_ms = sum(each.load_cpu_s for each in many) / (plan.count * len(many)) * 1e3
    rows[0].notes.append(f"{cpu_us:.1f} us CPU per delivery of any channel, publishing included")
    rows[0].notes.append(
        f"the load generator, on the same machine, needed {load_ms:.0f} ms CPU to receive it for all clients"
    )
    if clients < wanted:
        rows[0].notes.append(f"no more clients, because a process may have {files:,} files open (ulimit -n)")
    return rows


def _at_most(clients: int) -> tuple[int, int]:
    """So many clients, or as many as there may be files, and how many files there may be."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(clients, files - FILES_BESIDE), files


def overload(arena: Arena) -> list[Row]:
    """3,000 clients and 80 publications/s, more than a node can send one by one: how far it falls behind."""
    clients, _ = _at_most(arena.clients(_OVERLOAD_CLIENTS, _OVERLOAD_CLIENTS))

    def play(contestant: Contestant, warm: bool) -> Round:
        plan = arena.plan(_OVERLOAD_RATE, arena.either(1.0 if warm else 4.0, 0.5 if warm else 2.0))
        played = publishing(contestant, plan, clients)
        played.joins = True
        return played

    with arena.contestants() as contestants:
        for server, worker in contestants:
            worker.connect([server.target], "websocket", clients)
        rounds = arena.rounds(contestants, play)
    return [delay_row("overload, p99", rounds, Bound(limit=2000))]


def recover(arena: Arena) -> list[Row]:
    """5,000 clients come back at once to two nodes, each having missed 20 publications of its channel."""
    clients = arena.clients(5000, 1000)
    rounds: list[Round] = []
    asked = []
    with arena.nodes(2) as (servers, nats), Worker() as worker:
        targets = [_with_position(servers[0].at(f"{HISTORY}-{number}")) for number in range(_CHANNELS)]
        for target in targets:
            worker.publish_at_once(target, 1, _MISSED, arena.payload)
        back = [replace(target, port=server.target.port) for target in targets for server in servers]
        pids = tuple(pid for server in servers for pid in server.pids)
        both = Server(servers[0].target, pids, servers[0].beside)
        for _ in range(1 + arena.round_count):
            requests, before = nats.monitor("/varz")["in_msgs"], both.cpu()
            joined = worker.connect(back, "websocket", clients)
            rest = worker.receive_rest(_MISSED)
            cpu = both.cpu().since(before)
            asked.append(nats.monitor("/varz")["in_msgs"] - requests)
            rounds.append(_recovered(cpu, joined, rest, clients))
            worker.disconnect()
            wait_until_quiet(both)
    cold, *warm = rounds
    row = row_of(f"recover, {clients:,} at once", "s", warm, Bound(limit=5), figure="wall_s")
    cpu_us = Spread.of([each.cpu_us for each in warm]).median
    first = f"{cold.wall_s:.2f} s, {cold.cpu_us:.0f} us CPU per client, {asked[0]:,} messages to NATS"
    row.notes += [
        f"{cpu_us:.0f} us CPU per client, connecting included; {_MISSED} missed publications each",
        f"{max(asked[1:]):,} messages to NATS at most, for {clients:,} clients of {_CHANNELS} channels",
        f"the first time, which does not count above: {first}",
        *(f"the first time: {doubt}" for doubt in cold.doubts),
    ]
    row.valid = row.valid and cold.valid
    return [row]


def _recovered(cpu: Cpu, joined: Report, rest: Report, clients: int) -> Round:
    return Round(
        NODE,
        clients,
        cpu,
        joined.wall_s + rest.wall_s,
        joined.cpu_s + rest.cpu_s,
        expected=clients * _MISSED,
        came=rest.came,
        uneven=rest.uneven,
    )


def _with_position(server: Server) -> Target:
    """A target whose clients recover from the channel's position of now."""
    target = server.target
    _call(target, "publish", {"channel": target.channel, "data": {}})
    result = _call(target, "history", {"channel": target.channel, "limit": 0})["result"]
    position = {"recover": True, "epoch": result["epoch"], "offset": result["offset"]}
    return replace(target, subscribe="," + json.dumps(position)[1:-1])


def _call(target: Target, method: str, body: dict[str, object]) -> dict[str, dict[str, object]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}/api/{method}",
        json.dumps(body).encode(),
        {"X-API-Key": target.api_key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        answer: dict[str, dict[str, object]] = json.load(response)
    return answer
