"""A program: a coordinator's side of a catalog and nothing else, so that what it costs can be measured.

    python -m tests.contracts.catalog.observer nats|consul URL NODES SECONDS

Waits until so many nodes are there, watches them for so long, and prints the CPU seconds it used meanwhile
and how many reports it saw, as JSON.
"""

import json
import sys
import time

import trio

from coordinator.catalog.access import ConsulAccess, NatsAccess
from coordinator.catalog.consul import ConsulCatalog
from coordinator.catalog.interface import NodeGone, NodeSeen
from coordinator.catalog.nats_kv import NatsCatalog
from tests.contracts.catalog.people import Watcher

TTL_S = 5.0


async def observe(kind: str, url: str, nodes: int, seconds: float) -> None:
    watcher = Watcher(
        NatsCatalog(NatsAccess(url=url), name="observer", ttl_s=TTL_S, leader_ttl_s=TTL_S)
        if kind == "nats"
        else ConsulCatalog(ConsulAccess(url=url), ttl_s=TTL_S, leader_ttl_s=TTL_S)
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(watcher.catalog.run)
        nursery.start_soon(watcher.watch)
        await watcher.until(lambda: len(watcher.nodes) == nodes, 60)
        watcher.events.clear()
        began = time.process_time()
        await trio.sleep(seconds)
        cpu_s = time.process_time() - began
        seen = sum(isinstance(event, NodeSeen) for event in watcher.events)
        gone = sum(isinstance(event, NodeGone) for event in watcher.events)
        found = {"cpu_s": cpu_s, "reports": seen, "gone": gone}
        sys.stdout.write(json.dumps(found) + "\n")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(observe, sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
