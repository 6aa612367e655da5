"""Thousands of clients are moved: how fast nodes let them go and in, and how long each is without a node."""

import gc
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.cluster import Cluster
from tests.integration.coordinator.clients import Clients
from tests.integration.coordinator.load import Publisher, all_caught_up, assert_nothing_lost, in_time
from tests.integration.coordinator.measuring import ARRIVED, SENT_AWAY, Counter, Machine
from tests.integration.coordinator.processes import CoordinatorProcess

COUNT, CHANNELS, FAST = 5000, 100, 5
RATE_MAX, CONNECT_SHARE = 200, 0.7
ENDED = ("DONE", "FAILED", "CANCELLED")
# The longest that 99 of 100 clients may be without a node, and what of that is not the delay of their SDK.
PAUSE_S, OURS_S = 1.5, 0.6
# So many times as long where all these processes have too few processors: that is no figure, but a limit.
TOO_BUSY = 10.0

log = logging.getLogger(__name__)


@pytest.mark.slow
async def test_five_thousand_clients_of_a_node_are_moved_at_the_pace_of_the_others(tmp_path: Path) -> None:
    """The pace is the share of what the others may take, none of them takes more, and nobody waits long.

    How long is measured between two publications, by those clients whose channels have ten a second.
    """
    smooth, fast = [f"smooth-{n}" for n in range(CHANNELS)], [f"fast-{n}" for n in range(FAST)]
    client: dict[str, Any] = {}
    with Cluster(tmp_path, nodes=1, drain={"arrivals_quiet_s": 0.5}, client=client) as cluster:
        assert cluster.nats is not None
        share = ("--set", f"coordinator.connect_share={CONNECT_SHARE}")
        with CoordinatorProcess(tmp_path, "one", cluster.nats.url, *share) as coordinator:
            await in_time(lambda: len(coordinator.serving()) == 1)
            wanted = [smooth[n % CHANNELS] if n % 25 else fast[n // 25 % FAST] for n in range(COUNT)]
            clients = Clients(wanted, coordinator.port, rate=400)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(clients.run)
                await clients.until_settled(180)
                client["connection_rate_limit"] = RATE_MAX
                cluster.nodes += [cluster.start_node("node-2"), cluster.start_node("node-3")]
                await in_time(lambda: len(coordinator.serving()) == 3)
                publishers = [
                    Publisher(cluster.nodes[2].port, smooth, interval_s=0.1),
                    Publisher(cluster.nodes[2].port, fast, interval_s=0.02),
                ]
                for publisher in publishers:
                    await nursery.start(publisher.run)
                await trio.sleep(2)
                refused = clients.refused
                arrivals = [Counter(node, ARRIVED) for node in cluster.nodes[1:]]
                departures = Counter(cluster.nodes[0], SENT_AWAY)
                processes = (coordinator, *cluster.nodes, cluster.nats)
                machine = Machine([os.getpid(), *(one.process.pid for one in processes)])
                drains = coordinator.command("drain", "node-1", "--deadline", "120s", "--json")
                with drains as drain, without_collector():

                    def ended() -> bool:
                        for counter in (*arrivals, departures):
                            counter.read()
                        return bool(drain.out) and json.loads(drain.out[-1])["state"] in ENDED

                    await in_time(ended, 150, every_s=0.5)
                shares, judged = machine.shares(), machine.keeps_up()
                await clients.until_settled(60)
                refused = clients.refused - refused
                await trio.sleep(1)  # a publication for every client of a fast channel
                for publisher in publishers:
                    publisher.stop()
                await all_caught_up(clients, *publishers)
                nursery.cancel_scope.cancel()
    last = json.loads(drain.out[-1])
    assert last["state"] == "DONE", last["note"]
    assert last["steps"][0]["sent_away"] == COUNT
    assert_nothing_lost(clients, *publishers)
    for counter in arrivals:
        counter.assert_at_most(RATE_MAX)
    departures.assert_at_most(len(arrivals) * CONNECT_SHARE * RATE_MAX)

    gaps = [gap for client in clients.all if client.channel in fast for gap in client.gaps]
    assert len(gaps) >= COUNT / 25 * 0.95
    pauses = [pair for client in clients.all for pair in zip(client.pauses, client.delays, strict=True)]
    busy = f"{refused} refused; waited for a processor {shares[0]:.2f}, worked {shares[1]:.2f} of the time"
    for what, pairs in (("gaps", gaps), ("pauses", pauses)):
        whole, ours = p99([whole for whole, _ in pairs]), p99([whole - own for whole, own in pairs])
        figures = f"{what}: p99 {whole:.2f} s, {ours:.2f} s of it not the SDK's; {busy}"
        log.info("%s%s", figures, "" if judged else ", the machine is too busy")
        slower = 1.0 if judged else TOO_BUSY
        assert max(whole / PAUSE_S, ours / OURS_S) <= slower, figures
    # A node refuses what is above its rate by itself: it hardly has to if the pace is right.
    assert not judged or refused < 0.1 * COUNT


@contextmanager
def without_collector() -> Iterator[None]:
    """Thousands of clients in a process of thousands of tests would all stand still while it collects."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def p99(seconds: Sequence[float]) -> float:
    """What one in a hundred exceeds."""
    return sorted(seconds)[int(0.99 * len(seconds))]
