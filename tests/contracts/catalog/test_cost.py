"""What a hundred nodes that report every second cost a coordinator; the figure is printed (`-s`)."""

import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.consul_server import ConsulServer
from tests.contracts.catalog.people import registered
from tests.contracts.catalog.places import OnConsul, OnNats, Place, catalog_options
from tests.integration.coordinator.load import in_time
from tests.integration.coordinator.processes import CoordinatorProcess
from tests.nats_server import NatsServer

NODES = 100
SECONDS = 8
EVERY_SECOND = catalog_options(interval_s=1, ttl_s=5)
CORE_SHARE_MAX = 0.05


def cpu_s(pid: int) -> float:
    """Seconds that a process has worked, with all its threads (proc_pid_stat(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def share_of_a_core(coordinator: CoordinatorProcess, place: Place) -> float:
    """What a coordinator that leads so many nodes used of a core."""

    async def numbers() -> dict[str, int]:
        nodes = await trio.to_thread.run_sync(coordinator.nodes)
        return {name: int(node["number"]) for name, node in nodes.items()}

    async with AsyncExitStack() as stack:
        for number in range(NODES):
            await stack.enter_async_context(registered(place, f"node-{number}"))
        await in_time(lambda: len(coordinator.nodes()) == NODES and coordinator.leads())
        before, began = await numbers(), cpu_s(coordinator.process.pid)
        await trio.sleep(SECONDS)
        share = (cpu_s(coordinator.process.pid) - began) / SECONDS
        after = await numbers()
    heard = sum(after[name] - before[name] for name in before) / SECONDS
    sys.stdout.write(f"{share:.1%} of a core, {heard:.0f} reports/s\n")
    assert len(after) == NODES
    # Where all is slow, nodes report late.
    assert heard >= 0.5 * NODES
    return share


@pytest.mark.slow
async def test_a_hundred_nodes_on_nats(tmp_path: Path) -> None:
    """A coordinator leads a hundred nodes that report every second with 5 % of a core, on NATS."""
    with NatsServer() as server, CoordinatorProcess(tmp_path, "one", server.url) as coordinator:
        assert await share_of_a_core(coordinator, OnNats(server, options=EVERY_SECOND)) < CORE_SHARE_MAX


@pytest.mark.slow
async def test_a_hundred_nodes_on_consul(tmp_path: Path) -> None:
    """A coordinator leads a hundred nodes that report every second with 5 % of a core, on Consul."""
    with (
        ConsulServer() as server,
        CoordinatorProcess(tmp_path, "one", "nats://127.0.0.1:1", "--consul", server.url) as coordinator,
    ):
        assert await share_of_a_core(coordinator, OnConsul(server, options=EVERY_SECOND)) < CORE_SHARE_MAX
