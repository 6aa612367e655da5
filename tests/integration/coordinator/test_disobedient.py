"""A node that does not do what it is told: a plan says so, and ends."""

import re
from pathlib import Path

import pytest
import trio

from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.coordinator.load import in_time
from tests.integration.coordinator.processes import CoordinatorProcess

BROKEN = ("-P", "-m", "tests.integration.chaos.broken_node", "ignore_orders")


@pytest.mark.slow
async def test_a_node_that_ignores_its_orders_is_given_up(tmp_path: Path) -> None:
    """Soon after its deadline the drain fails, with exit code 1 and why; meanwhile nobody is sent there."""
    with Cluster(tmp_path, nodes=1) as cluster:
        assert cluster.nats is not None
        cluster.nodes.append(
            NodeProcess("node-2", tmp_path / "node.json", tmp_path / "node-2.log", program=BROKEN)
        )
        with CoordinatorProcess(tmp_path, "one", cluster.nats.url) as coordinator:
            await in_time(lambda: len(coordinator.serving()) == 2)
            with coordinator.command("drain", "node-2", "--deadline", "2s", "--force") as drain:
                await in_time(lambda: "node-2: 0 of 0, ordered" in drain.told)
                for _ in range(20):
                    assert coordinator.get("/discover")[1]["node"] == "node-1"
                assert await trio.to_thread.run_sync(drain.wait) == 1
            said = (
                r"drain failed: node-2: has not obeyed for \d+ s; its deadline is over by 1\d s, after (\d+)"
            )
            took = re.search(said, drain.told)
            assert took, drain.told
            assert coordinator.nodes()["node-2"]["state"] == "SERVING"
            # It is no part of a plan any more, and takes the clients of others.
            with coordinator.command("drain", "node-1") as other:
                assert await trio.to_thread.run_sync(other.wait) == 0, other.told
