"""Tests of `deploy.cluster` and `deploy.local`: real processes, a real nats-server, fake nodes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from deploy import local
from deploy.cluster_settings import Output, Settings
from deploy.errors import UserError
from deploy.ports import HOST
from tests.deploy.pids import ended
from tests.nats_server import free_port
from tests.patience import PATIENCE_S

# A start that hangs is given up by the cluster itself, which says who hung: after 60 s for NATS and as much
# for the rest. A test that gave up before that would only know that it was too slow.
RUN_MAX_S = 3 * PATIENCE_S

FAKE_NODE = (sys.executable, str(Path(__file__).with_name("fake_node.py")))


@dataclass
class Heard:
    """What a cluster said."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    clusters: list[dict[str, Any]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    ready: trio.Event = field(default_factory=trio.Event)
    event: trio.Event = field(default_factory=trio.Event)

    @property
    def output(self) -> Output:
        return Output(lambda name, line: self.lines.append((name, line)), self._event, self._ready)

    def _event(self, text: str) -> None:
        self.events.append(text)
        self.event.set()

    def _ready(self, cluster: dict[str, Any]) -> None:
        self.clusters.append(cluster)
        self.ready.set()

    @property
    def pids(self) -> list[int]:
        (cluster,) = self.clusters
        return [entry["pid"] for entry in [cluster["nats"], *cluster["nodes"]] if entry["pid"]]


def make_settings(tmp_path: Path, behaviour: str = "well", **more: Any) -> Settings:
    config = tmp_path / "behaviour"
    config.write_text(behaviour)
    defaults = {"nodes": 2, "http_port": 0, "node_command": FAKE_NODE, "ready_file": tmp_path / "ready.json"}
    return Settings(config=config, **{**defaults, **more})


@asynccontextmanager
async def running(
    settings: Settings, heard: Heard, output: Output | None = None
) -> AsyncIterator[trio.CancelScope]:
    """A cluster that is ready, and the scope it runs in; leaving waits for its end.

    One that ends before it is ready, a port that somebody took meanwhile is enough, fails the test at once.
    """

    async def run() -> None:
        heard.codes.append(await local.run(settings, output or heard.output))
        assert heard.clusters, f"it was never ready: {heard.events}"

    with trio.fail_after(RUN_MAX_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await heard.ready.wait()
            yield nursery.cancel_scope


async def run_until_ready_then(signals: list[int], settings: Settings, heard: Heard) -> int:
    """Run a cluster, send this process `signals` when it is ready, return the exit code."""
    async with running(settings, heard):
        for number in signals:
            os.kill(os.getpid(), number)
            await heard.event.wait()
    return heard.codes[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_everything_in_order(tmp_path: Path, number: int) -> None:
    """Ctrl-C and SIGTERM end nodes first, then NATS, with exit code 0 and nothing left behind."""
    heard = Heard()
    settings = make_settings(tmp_path)
    code = await run_until_ready_then([number], settings, heard)
    assert code == 0
    assert heard.events[-1] == "stopped"
    for pid in heard.pids:
        await ended(pid)
    assert any(name == "nats" and "Server Exiting" in line for name, line in heard.lines)
    assert not (tmp_path / "ready.json").exists()


async def test_the_ready_file_describes_the_cluster(tmp_path: Path) -> None:
    """A program that waits for the file finds addresses and process ids, and never half a file."""
    heard = Heard()
    seen: list[dict[str, Any]] = []
    settings = make_settings(tmp_path)
    output = replace(
        heard.output,
        ready=lambda cluster: (
            seen.append(json.loads((tmp_path / "ready.json").read_text())),
            heard._ready(cluster),
        )[1],
    )
    async with running(settings, heard, output):
        os.kill(os.getpid(), signal.SIGTERM)
    (cluster,) = seen
    assert cluster == heard.clusters[0]
    assert cluster["nats"]["url"].startswith("nats://127.0.0.1:")
    assert cluster["coordinator"] is None
    assert [node["name"] for node in cluster["nodes"]] == ["node-1", "node-2"]
    assert all(node["grpc"] is None and node["http"].startswith("http://") for node in cluster["nodes"])


async def test_nodes_that_serve_grpc_are_started_beside_the_others(tmp_path: Path) -> None:
    """In the ready file they have a gRPC address and none for HTTP clients, only one for probes."""
    heard = Heard()
    settings = make_settings(tmp_path, nodes=1, grpc_nodes=2)
    assert await run_until_ready_then([signal.SIGTERM], settings, heard) == 0
    nodes = heard.clusters[0]["nodes"]
    assert [node["name"] for node in nodes] == ["node-1", "grpc-1", "grpc-2"]
    assert [bool(node["http"]) for node in nodes] == [True, False, False]
    assert len({node["grpc"] for node in nodes}) == 3
    assert all(node["probes"].startswith("http://") for node in nodes[1:])
    for node in nodes:
        await ended(node["pid"])


async def test_addresses_are_those_of_the_nodes_with_tls_too(tmp_path: Path) -> None:
    """What the coordinator and the pages' links say is what clients can use."""
    heard = Heard()
    settings = make_settings(tmp_path, grpc_nodes=1, scheme="https")
    assert await run_until_ready_then([signal.SIGTERM], settings, heard) == 0
    told = {name: line for name, line in heard.lines if " is set " in line}
    for name in ("node-1", "node-2", "grpc-1"):
        assert "node.public_url=https://127.0.0.1:" in told[name]
    assert "demo.peers=https://127.0.0.1:" in told["node-1"]


async def test_a_coordinator_is_started_told_the_same_and_stopped_after_the_nodes(tmp_path: Path) -> None:
    """It stands in the ready file with its ports, and hears the nodes say goodbye."""
    heard = Heard()
    settings = make_settings(
        tmp_path, coordinator_port=0, coordinator_command=FAKE_NODE, consul_url="http://consul:8500"
    )
    assert await run_until_ready_then([signal.SIGTERM], settings, heard) == 0
    (cluster,) = heard.clusters
    coordinator = cluster["coordinator"]
    assert coordinator.keys() == {"url", "pid", "grpc"}
    assert coordinator["url"].startswith("http://")
    await ended(coordinator["pid"])
    assert any(name == "coordinator" and "uses nats://" in line for name, line in heard.lines)


async def test_given_nats_servers_are_used_and_none_is_started(tmp_path: Path) -> None:
    """With --nats the nodes get that address and no server of ours runs."""
    heard = Heard()
    code = await run_until_ready_then(
        [signal.SIGTERM], make_settings(tmp_path, nats_url="nats://there:1"), heard
    )
    assert code == 0
    assert heard.clusters[0]["nats"] == {"url": "nats://there:1", "pid": None}
    assert ("node-1", "node-1 uses nats://there:1") in heard.lines
    assert not [name for name, _ in heard.lines if name == "nats"]


async def test_data_is_kept_where_it_was_asked_for(tmp_path: Path) -> None:
    """With --data the streams outlive the cluster."""
    data = tmp_path / "deep" / "data"
    await run_until_ready_then([signal.SIGTERM], make_settings(tmp_path, data=data), Heard())
    assert (data / "jetstream").is_dir()


@pytest.mark.parametrize(
    ("behaviour", "how"), [("dies at start", "exit code 3"), ("dies when ready", "exit code 4")]
)
async def test_a_death_is_reported_and_ends_the_cluster(tmp_path: Path, behaviour: str, how: str) -> None:
    """A process that dies by itself is named with its exit code and last lines, and `up` fails."""
    heard = Heard()
    with trio.fail_after(PATIENCE_S):
        code = await local.run(make_settings(tmp_path, behaviour), heard.output)
    assert code == 1
    assert f"ended unexpectedly: {how}" in heard.events[0]
    assert "uses nats://127.0.0.1" in heard.events[0]
    assert heard.events[-1] == "stopped"


async def test_keep_going_outlives_a_killed_node(tmp_path: Path) -> None:
    """With --keep-going a node can be killed on purpose: it is reported, the others stay."""
    heard = Heard()
    settings = make_settings(tmp_path, keep_going=True)
    async with running(settings, heard):
        node = heard.clusters[0]["nodes"][0]
        os.kill(node["pid"], signal.SIGKILL)
        await heard.event.wait()
        assert "node-1" in heard.events[0]
        assert "killed by SIGKILL" in heard.events[0]
        os.kill(heard.clusters[0]["nodes"][1]["pid"], 0)
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard.events[-1] == "stopped"


async def test_a_node_that_was_told_to_end_takes_nobody_with_it(tmp_path: Path) -> None:
    """A drain with --stop, or a SIGTERM, is no accident; without any node the rest has no purpose."""
    heard = Heard()
    async with running(make_settings(tmp_path), heard):
        one, other = (node["pid"] for node in heard.clusters[0]["nodes"])
        os.kill(one, signal.SIGTERM)
        await heard.event.wait()
        assert "node-1" in heard.events[0]
        assert "as it was told" in heard.events[0]
        os.kill(other, 0)
        os.kill(other, signal.SIGTERM)
    assert heard.events[-1] == "stopped"
    assert "no node is left" in heard.events[-2]


async def test_keep_going_stays_without_any_node(tmp_path: Path) -> None:
    """Nodes that were stopped one by one may run again under somebody else: NATS stays for them."""
    heard = Heard()
    async with running(make_settings(tmp_path, keep_going=True), heard):
        for node in heard.clusters[0]["nodes"]:
            heard.event = trio.Event()
            os.kill(node["pid"], signal.SIGTERM)
            await heard.event.wait()
        os.kill(heard.clusters[0]["nats"]["pid"], 0)
        os.kill(os.getpid(), signal.SIGTERM)
    assert not any("no node is left" in event for event in heard.events)


async def test_keep_going_does_not_excuse_a_failed_start(tmp_path: Path) -> None:
    """A node that never came up is a failure even with --keep-going."""
    heard = Heard()
    with trio.fail_after(PATIENCE_S):
        assert await local.run(make_settings(tmp_path, "dies at start", keep_going=True), heard.output) == 1
    assert not heard.clusters


async def test_a_second_signal_kills_at_once(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice does not wait for a process that does not stop."""
    heard = Heard()
    settings = make_settings(tmp_path, "ignores SIGTERM")
    code = await run_until_ready_then([signal.SIGINT, signal.SIGINT], settings, heard)
    assert code == 1
    assert "again" in heard.events[1]
    for pid in heard.pids:
        await ended(pid)


async def test_a_node_that_does_not_stop_is_killed_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stubborn process does not keep the rest from stopping, and the exit code tells."""
    monkeypatch.setattr("deploy.cluster._NODE_STOP_MARGIN_S", 0)
    heard = Heard()
    settings = make_settings(tmp_path, "ignores SIGTERM", node_stop_max_s=0.1)
    assert await run_until_ready_then([signal.SIGTERM], settings, heard) == 1
    assert any("node-1 did not stop" in event for event in heard.events)


async def test_a_node_that_is_never_ready_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that hangs ends with a sentence that names who hung."""
    monkeypatch.setattr("deploy.cluster._READY_MAX_S", 0.5)
    heard = Heard()
    with trio.fail_after(PATIENCE_S):
        assert await local.run(make_settings(tmp_path, "is silent", nodes=1), heard.output) == 1
    assert heard.events[0].startswith("node-1 was not ready")


async def test_cancellation_leaves_no_process(tmp_path: Path) -> None:
    """A cancelled run kills what it started."""
    heard = Heard()
    async with running(make_settings(tmp_path), heard) as scope:
        scope.cancel()
    for pid in heard.pids:
        await ended(pid)


@pytest.mark.parametrize("option", ["--http-port", "--nats-port", "--coordinator-port"])
async def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path, option: str) -> None:
    """Nothing is started when a port is taken; the message says which and for whom."""
    heard = Heard()
    with socket.socket() as taken:
        port = free_port()  # the kernel's own choice may have a neighbour that is taken
        taken.bind((HOST, port))
        taken.listen()
        ports = {
            "--http-port": {"http_port": port - 1},
            "--nats-port": {"nats_port": port},
            "--coordinator-port": {"coordinator_port": port - 1},
        }[option]
        with pytest.raises(UserError, match=rf"port {port} .*(node-2|nats|coordinator).*{option}"):
            await local.run(make_settings(tmp_path, **ports), heard.output)
    assert not heard.lines


async def test_unusable_settings_are_explained(tmp_path: Path) -> None:
    """Ports that do not exist and directories that cannot be used are told from the option's name."""
    file = tmp_path / "file"
    file.touch()
    wrong = [
        (make_settings(tmp_path, http_port=65535), "node-2 would need port 65536"),
        (make_settings(tmp_path, ready_file=tmp_path / "no" / "ready.json"), "--ready-file"),
        (make_settings(tmp_path, data=file), "--data"),
    ]
    for settings, message in wrong:
        with pytest.raises(UserError, match=message):
            await local.run(settings, Heard().output)


RUN_ALONE = """
import sys, trio
from pathlib import Path
from deploy import local
from deploy.cluster_settings import Output, Settings
settings = Settings(nodes=2, http_port=0, config=Path(sys.argv[1]), node_command=sys.argv[2:])
pids = lambda cluster: print(cluster["nats"]["pid"], *(node["pid"] for node in cluster["nodes"]), flush=True)
trio.run(local.run, settings, Output(lambda *_: None, lambda _: None, pids))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process ask to die with its parent")
async def test_no_process_outlives_a_cluster_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL of `up`, which can then do nothing, ends NATS and every node, stubborn ones too."""
    config = tmp_path / "behaviour"
    config.write_text("ignores SIGTERM")
    command = [sys.executable, "-c", RUN_ALONE, str(config), *FAKE_NODE]
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            # Killed, it leaves its temporary directory behind: in the test's own.
            environ = {**os.environ, "TMPDIR": str(tmp_path)}
            start = partial(trio.run_process, command, check=False, stdout=subprocess.PIPE, env=environ)
            process = await nursery.start(start)
            assert process.stdout is not None
            said = b""
            while not said.endswith(b"\n"):
                said += await process.stdout.receive_some()
            pids = [int(pid) for pid in said.split()]
            assert len(pids) == 3
            process.kill()
            for pid in pids:
                await ended(pid)


async def test_several_nats_servers_keep_each_others_streams(tmp_path: Path) -> None:
    """With three servers, nodes know all of them and keep three copies, and each is described."""
    heard = Heard()
    settings = make_settings(tmp_path, nodes=1, nats_servers=3)
    assert await run_until_ready_then([signal.SIGTERM], settings, heard) == 0
    (cluster,) = heard.clusters
    servers = cluster["nats"]["servers"]
    assert [server["name"] for server in servers] == ["nats-1", "nats-2", "nats-3"]
    assert cluster["nats"]["url"] == ",".join(server["url"] for server in servers)
    assert "broker.nats.stream_replicas=3" in str(heard.lines)
    for server in servers:
        await ended(server["pid"])


async def test_nats_servers_follow_the_first_port(tmp_path: Path) -> None:
    """`--nats-port` is the first server's, so that a person knows the others' too."""
    ports = local.choose_ports(make_settings(tmp_path, nats_servers=3, nats_port=29_000))
    assert [each.client for each in ports.nats] == [29_000, 29_001, 29_002]
    assert len({*(each.route for each in ports.nats), *(each.client for each in ports.nats)}) == 6
