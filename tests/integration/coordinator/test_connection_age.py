"""`client.connection_age_max_s` on real nodes: connections end one by one, and their clients come back."""

import json
import re
import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml

from chaos.targets.local import CONFIG
from chaos.workload.transports import TRANSPORTS as DIALOGS
from tests.integration.cluster import ROOT, Cluster
from tests.integration.coordinator.clients import Clients
from tests.integration.coordinator.load import (
    CHANNELS,
    Publisher,
    all_caught_up,
    assert_nothing_lost,
    in_time,
)
from tests.integration.coordinator.processes import CoordinatorProcess
from tests.integration.programs import broadcast
from tests.patience import PATIENCE_S

AGE_MAX_S, SHORT_AGE_MAX_S = 5.0, 3.0
# Of the age, to both sides.
JITTER = 0.2
# So few that now and then all are there at the same moment.
CLIENTS, KINDS = 2 * len(DIALOGS), len(DIALOGS)
# As metrics call them; two formats of one are one here.
COUNTED = {"websocket", "http_stream", "sse_emulation", "uni_websocket", "uni_http_stream", "uni_sse"}
COUNTED |= {"ws", "sse", "grpc_subscribe", "grpc_web"}
REQUIRED = {"lost", "duplicated", "reordered", "invented", "false_recovered", "unsignalled_gap"}
OPENED = re.compile(r'^broadcast_connections_opened_total\{transport="(\w+)"\} (\S+)$', re.MULTILINE)
AGED = re.compile(r'^broadcast_closes_total\{[^}]*reason="connection age"[^}]*\} (\S+)$', re.MULTILINE)


@pytest.mark.slow
async def test_clients_that_came_together_do_not_go_together(tmp_path: Path) -> None:
    """Ages are spread over the jitter; each client is told why, comes back, and misses nothing."""
    with Cluster(tmp_path, nodes=2, client={"connection_age_max_s": AGE_MAX_S}) as cluster:
        assert cluster.nats is not None
        with CoordinatorProcess(tmp_path, "one", cluster.nats.url) as coordinator:
            await in_time(lambda: len(coordinator.serving()) == 2)
            clients = Clients([CHANNELS[number % 20] for number in range(100)], coordinator.port)
            publisher = Publisher(cluster.nodes[1].port)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(clients.run)
                await clients.until_settled(60)
                await nursery.start(publisher.run)
                await in_time(lambda: all(client.ages for client in clients.all))
                publisher.stop()
                await clients.until_settled(60)
                await all_caught_up(clients, publisher)
                nursery.cancel_scope.cancel()
    ages = sorted(age for client in clients.all for age in client.ages)
    least, most = (1 - JITTER) * AGE_MAX_S, (1 + JITTER) * AGE_MAX_S
    # A client counts from its subscription, which is a little after its connection began.
    assert ages[len(ages) // 10] >= least * 0.9
    assert ages[-len(ages) // 10] - ages[len(ages) // 10] >= (most - least) / 2
    assert {close for client in clients.all for close in client.closes} == {(3001, "connection age")}
    assert_nothing_lost(clients, publisher)


@pytest.mark.slow
async def test_clients_of_every_transport_come_back_and_miss_nothing(tmp_path: Path) -> None:
    """The harness's clients and its judges, with a connection age and no other fault."""
    config, ready_file = tmp_path / "config.yaml", tmp_path / "ready.json"
    options = yaml.safe_load(CONFIG.read_text())
    # Nobody balances clients over these nodes: at the end none need be waited for.
    options["drain"] = {"arrivals_quiet_s": 0, "arrivals_wait_max_s": 0}
    options["client"]["connection_age_max_s"] = SHORT_AGE_MAX_S
    config.write_text(yaml.safe_dump(options))
    experiment = tmp_path / "age.yaml"
    experiment.write_text(yaml.safe_dump(quiet_experiment()))
    up = ["up", "--nodes", "2", "--grpc-nodes", "1", "--http-port", "0", "--coordinator-port", "0"]
    with broadcast(*up, "--config", str(config), "--ready-file", str(ready_file)) as cluster:
        await in_time(ready_file.exists)
        command = [sys.executable, "-m", "deploy.cli", "chaos", "run", str(experiment), "--json"]
        command += ["--ready-file", str(ready_file), "--report", str(tmp_path / "report")]
        done = await trio.run_process(
            command, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False
        )
        assert done.stdout, done.stderr.decode()
        outcome = json.loads(done.stdout)
        nodes = json.loads(ready_file.read_text())["nodes"]
        counted = await trio.to_thread.run_sync(
            opened_and_aged, [one["http"] or one["probes"] for one in nodes]
        )
        cluster.send_signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(cluster.wait) == 0
    wrong = {verdict["name"] for verdict in outcome["verdicts"] if verdict["state"] != "valid"}
    # Whoever is away for a moment gets later what came meanwhile: only that is not judged.
    assert wrong <= {"late"}, json.dumps(outcome, indent=1)
    assert {verdict["name"] for verdict in outcome["verdicts"]} >= REQUIRED
    opened, aged = counted
    assert aged >= CLIENTS
    assert opened.keys() >= COUNTED
    # Of each transport some came, and at least as many came again.
    assert all(count >= 2 * CLIENTS // KINDS for count in opened.values()), opened


def opened_and_aged(nodes: Sequence[str]) -> tuple[Counter[str], int]:
    """By transport, how many connections there ever were on these nodes; and how many grew too old."""
    opened: Counter[str] = Counter()
    aged = 0
    for node in nodes:
        with urllib.request.urlopen(f"{node}/metrics", timeout=PATIENCE_S) as answer:
            text = answer.read().decode()
        for transport, count in OPENED.findall(text):
            opened[transport] += int(float(count))
        aged += sum(int(float(count)) for count in AGED.findall(text))
    return opened, aged


def quiet_experiment() -> dict[str, Any]:
    """An experiment in which nothing happens but what the nodes do by themselves."""
    provider = {"type": "python", "module": "chaos.providers"}
    probes = [
        ("everybody is served", True, "everybody_is_served"),
        ("promises hold", "valid", "promises_hold"),
    ]
    load = {**provider, "func": "load_for", "arguments": {"share": 1.0}}
    return {
        "title": "Connections grow old",
        "description": "Nothing else happens.",
        "tags": [],
        "configuration": {
            "name": "age",
            "clients": CLIENTS,
            "deliveries_per_s": 200,
            "duration_s": 12,
            "bounds": {"requires": sorted(REQUIRED)},
            "transports": list(DIALOGS),
            "patience_s": 10,
        },
        "controls": [{"name": "all", "provider": {"type": "python", "module": "chaos.control"}}],
        "steady-state-hypothesis": {
            "title": "Everybody is served, and every promise holds",
            "probes": [
                {"type": "probe", "name": name, "tolerance": right, "provider": {**provider, "func": func}}
                for name, right, func in probes
            ],
        },
        "method": [{"type": "action", "name": "let it run", "provider": load}],
        "rollbacks": [],
    }
