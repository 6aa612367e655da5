"""The servers that are compared: a cluster of ours, and the peers beside it, each freshly started."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.building import CannotBuild, command_of
from tests.bench.frames import Target, with_query
from tests.bench.measure import GO, GO_NATS, HYPERCORN, NODE, Cpu, cpu_of, memory_of
from tests.integration.cluster import API_KEY, ROOT, Cluster, NodeProcess
from tests.nats_server import NatsServer
from tests.node.door.authority import Authority

PLAIN = "plain:bench"
HISTORY = "bench"
HISTORY_SIZE = 100


@dataclass(frozen=True, slots=True)
class Server:
    """One running server.

    Attributes:
        target: how the load generator reaches it.
        pids: its processes.
        beside: those it leans on.
    """

    target: Target
    pids: tuple[int, ...]
    beside: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Of the column in the table."""
        return self.target.name

    def cpu(self) -> Cpu:
        """What it has used so far."""
        return Cpu(cpu_of(self.pids), cpu_of(self.beside))

    def memory(self) -> int:
        """Bytes of its processes."""
        return sum(map(memory_of, self.pids))

    def at(self, channel: str) -> "Server":
        """The same server with another channel."""
        return replace(self, target=replace(self.target, channel=channel, sse_path=_sse(self.name, channel)))


def _sse(name: str, channel: str) -> str:
    if name == HYPERCORN:
        return "/sse"
    if name in (GO, GO_NATS):
        return with_query("/connection/sse", channel=channel, cf_connect={"id": 1, "connect": {}})
    return with_query("/connection/uni_sse", cf_connect={"subs": {channel: {}}})


@contextlib.contextmanager
def nodes_and_nats(count: int = 1, profiles: Path | None = None) -> Iterator[tuple[list[Server], NatsServer]]:
    """Nodes of ours, and their real nats-server.

    Args:
        count: of nodes.
        profiles: a folder into which each node writes what it was doing; see profiled.
    """
    with (
        tempfile.TemporaryDirectory(prefix="broadcast-bench-") as directory,
        _cluster(Path(directory), profiles, nodes=count) as cluster,
    ):
        assert cluster.nats is not None
        yield [_server(node, node.port, cluster.nats) for node in cluster.nodes], cluster.nats


@contextlib.contextmanager
def other_node(kind: str, nats: NatsServer, profiles: Path | None = None) -> Iterator[Server]:
    """One more node, of another kind.

    Args:
        kind: "grpc", or "tls" for a node whose port speaks nothing else; publications to that go through
            another node, whose port is to be set.
        nats: of the others.
        profiles: see nodes_and_nats.
    """
    options: dict[str, dict[str, object]] = {
        "grpc_server": {"address": "127.0.0.1", "port": 0, "keepalive_s": "300s"}
    }
    with tempfile.TemporaryDirectory(prefix="broadcast-bench-") as directory:
        if kind == "tls":
            files = Authority(Path(directory))
            pem = {"cert_pem": str(files.cert_pem), "key_pem": str(files.key_pem)}
            options["http_server"] = {"tls": {"enabled": True, **pem}, "http3": {"enabled": True}}
        with _cluster(Path(directory), profiles, nodes=0, nats_url=nats.url, **options) as cluster:
            node = cluster.start_node(kind, serve="grpc" if kind == "grpc" else "http")
            cluster.nodes.append(node)
            port = int(node.grpc.rsplit(":", 1)[1]) if kind == "grpc" else node.port
            yield _server(node, port, nats)


@contextlib.contextmanager
def _cluster(directory: Path, profiles: Path | None, **options: Any) -> Iterator[Cluster]:
    # Pings as rare as those of the peers: they are not what is measured.
    client = {"allow_anonymous_connect_without_token": True, "ping_interval": "300s", "pong_timeout": "60s"}
    program = ("-m", "tests.bench.profiled", str(profiles)) if profiles else ("-m", "deploy.cli")
    with Cluster(directory, program=program, client=client, **options) as cluster:
        yield cluster
        if profiles:  # a node that is killed writes none
            for node in cluster.nodes:
                node.stop()


def _server(node: NodeProcess, port: int, nats: NatsServer) -> Server:
    target = Target(NODE, port, PLAIN, _sse(NODE, PLAIN), API_KEY, publish_port=node.port)
    return Server(target, (node.process.pid,), (nats.pid,))


@contextlib.contextmanager
def peer(name: str, *, history: bool = False, nats: NatsServer) -> Iterator[Server]:
    """One of the peers.

    Args:
        name: of the peer.
        history: whether what is published is kept, where the peer can do that.
        nats: what a peer with that broker publishes to.

    Raises:
        CannotBuild: its compiler is missing, or failed; or it does not start.
    """
    command = command_of(name)
    beside: tuple[int, ...] = ()
    if name == GO:
        command.append(str(HISTORY_SIZE if history else 0))
    elif name == GO_NATS:
        command += ["0", nats.url]
        beside = (nats.pid,)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            ports = [int(port) for port in process.stdout.readline().split()]
            if not ports:
                raise CannotBuild(f"{name} does not start")
            target = Target(name, ports[0], PLAIN, _sse(name, PLAIN), publish_port=ports[-1])
            yield Server(target, (process.pid,), beside)
        finally:
            process.kill()
