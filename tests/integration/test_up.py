"""How a cluster on this machine ends: whatever ends `broadcast up`, no process of it stays behind."""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.consul_server import ConsulServer
from tests.integration.programs import Program, broadcast, run
from tests.integration.raw import CONNECT, Raw
from tests.nats_server import free_port
from tests.patience import PATIENCE_S


class Up:
    """A cluster in its development mode.

    Attributes:
        program: `broadcast up`.
        ready_file: where it describes itself.
        nodes: that description's nodes.
        coordinator: its coordinator's address.
        processes: a descriptor of each process of it, NATS first.
    """

    def __init__(self, directory: Path) -> None:
        self.ready_file = directory / "ready.json"
        # Killed, it leaves its temporary directory behind: in the test's own.
        environment = {"TMPDIR": str(directory)}
        self.program: Program = broadcast(
            "up", "--http-port", "0", "--ready-file", str(self.ready_file), environment=environment
        )
        self.program.expect("The cluster is ready: 2 nodes.")
        cluster = json.loads(self.ready_file.read_text())
        self.nodes: list[dict[str, Any]] = cluster["nodes"]
        self.coordinator: str = cluster["coordinator"]["url"]
        entries = [cluster["nats"], cluster["coordinator"], *self.nodes]
        self.processes = [os.pidfd_open(entry["pid"]) for entry in entries]

    def assert_nothing_left(self) -> None:
        """Wait until every process of it has ended."""
        for process in self.processes:
            # A pidfd is readable once its process has ended.
            assert select.select([process], [], [], PATIENCE_S)[0], "a process outlived `up`"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A running cluster."""
    up = Up(tmp_path)
    with up.program:
        yield up
    for process in up.processes:
        os.close(process)


def test_each_nodes_page_links_to_the_others(up: Up) -> None:
    """A visitor of one node's page finds the other one's."""
    addresses = {node["http"] for node in up.nodes}
    for address in addresses:
        with urlopen(address, timeout=PATIENCE_S) as response:
            page = response.read().decode()
        (other,) = addresses - {address}
        assert f'<meta name="peers" content="{other}">' in page


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_in_order(up: Up, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: nodes and NATS stop by themselves, `up` succeeds, the ready file goes."""
    up.program.send_signal(number)
    assert up.program.wait() == 0
    up.assert_nothing_left()
    assert up.program.out[-1] == "broadcast: stopped"
    assert sum("node stopped" in line for line in up.program.out) == 2
    assert not up.ready_file.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process ask to die with its parent")
def test_nothing_outlives_up_when_it_is_killed(up: Up) -> None:
    """SIGKILL leaves `up` no chance to stop anybody, and still nobody stays."""
    up.program.send_signal(signal.SIGKILL)
    up.assert_nothing_left()


async def test_a_second_signal_ends_it_at_once(up: Up) -> None:
    """While a node waits for a client that does not say goodbye, a second Ctrl-C ends the wait."""
    async with await Raw.open(up.nodes[0]["http"]) as client:
        await client.upgrade("/connection/websocket")
        await client.send_text(CONNECT)
        await client.frame()
        up.program.send_signal(signal.SIGINT)
        up.program.expect("once more kills them")
        up.program.expect('"phase": "sending"')
        up.program.send_signal(signal.SIGINT)
        assert up.program.wait() == 1
        up.program.expect("killing what is left")
        up.assert_nothing_left()


@pytest.mark.parametrize("option", ["--http-port", "--nats-port"])
def test_a_taken_port_is_said_before_anything_starts(option: str) -> None:
    """Somebody else's port is named with who wanted it, exit status 1, and nothing was started."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        others = ["--http-port", "0"] if option == "--nats-port" else []
        with broadcast("up", *others, option, str(port)) as program:
            assert program.wait() == 1
            (said,) = program.err
            assert f"port {port} on 127.0.0.1 cannot be used" in said
            assert option in said
            assert program.out == []


def test_the_coordinator_knows_the_nodes(up: Up) -> None:
    """What the banner offers works as it is written there: no token in development mode."""
    up.program.expect(f"./broadcast nodes --coordinator {up.coordinator}")
    for _ in range(50):
        listed = run("nodes", "--coordinator", up.coordinator).stdout
        if "node-1" in listed and "node-2" in listed:
            break
    assert "serving" in listed
    drained = run("drain", "node-1", "--coordinator", up.coordinator)
    assert drained.returncode == 0, drained.stderr
    assert "drain done" in drained.stdout


def test_the_catalog_is_in_consul_where_that_is_wanted(tmp_path: Path) -> None:
    """`up --consul`: the nodes and the coordinator meet there, not in NATS."""
    ready_file = tmp_path / "ready.json"
    with (
        ConsulServer() as consul,
        broadcast(
            "up", "--http-port", "0", "--consul", consul.url, "--ready-file", str(ready_file)
        ) as program,
    ):
        program.expect("The cluster is ready: 2 nodes.")
        url = json.loads(ready_file.read_text())["coordinator"]["url"]
        for _ in range(50):
            listed = run("nodes", "--coordinator", url).stdout
            if "node-1" in listed and "node-2" in listed:
                break
        else:
            pytest.fail(listed)
        with urlopen(f"{consul.url}/v1/health/service/broadcast-node") as response:
            assert len(json.loads(response.read())) == 2
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 0
