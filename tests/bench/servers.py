"""The servers that are compared: a cluster of ours, the floor in C, and the peer in Go.

The peers are built from `peers` when their compiler is there, into a folder of the user's cache; without it
their column stays empty and says why.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.frames import Target, with_query
from tests.bench.measure import FLOOR, GO, NODE, Cpu, cpu_of, memory_of
from tests.integration.cluster import API_KEY, Cluster
from tests.nats_server import NatsServer

PEERS = Path(__file__).parent / "peers"
PLAIN = "plain:bench"
HISTORY = "bench"
HISTORY_SIZE = 100
BUILD_DEADLINE_S = 600


class CannotBuild(Exception):
    """A peer is not to be had on this machine; the message is the reason."""


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
    if name == GO:
        return with_query("/connection/sse", channel=channel, cf_connect={"id": 1, "connect": {}})
    return with_query("/connection/uni_sse", cf_connect={"subs": {channel: {}}})


@contextlib.contextmanager
def nodes(count: int = 1) -> Iterator[list[Server]]:
    """Nodes of ours on a real nats-server."""
    with nodes_and_nats(count) as (servers, _):
        yield servers


@contextlib.contextmanager
def nodes_and_nats(count: int) -> Iterator[tuple[list[Server], NatsServer]]:
    """Nodes of ours, and their nats-server."""
    # Pings as rare as those of the peer: they are not what is measured.
    client = {"allow_anonymous_connect_without_token": True, "ping_interval": "300s", "pong_timeout": "60s"}
    with (
        tempfile.TemporaryDirectory(prefix="broadcast-bench-") as directory,
        Cluster(Path(directory), nodes=count, client=client) as cluster,
    ):
        assert cluster.nats is not None
        targets = [Target(NODE, node.port, PLAIN, _sse(NODE, PLAIN), API_KEY) for node in cluster.nodes]
        pids = [node.process.pid for node in cluster.nodes]
        beside = (cluster.nats.pid,)
        yield (
            [Server(target, (pid,), beside) for target, pid in zip(targets, pids, strict=True)],
            cluster.nats,
        )


@contextlib.contextmanager
def peer(name: str, *, history: bool = False) -> Iterator[Server]:
    """One of the peers.

    Raises:
        CannotBuild: its compiler is missing, or failed.
    """
    command = [str(build(name)), *([str(HISTORY_SIZE if history else 0)] if name == GO else ())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.strip():
                raise CannotBuild(f"{name} does not start")
            yield Server(Target(name, int(line), PLAIN, _sse(name, PLAIN)), (process.pid,))
        finally:
            process.kill()


def build(name: str) -> Path:
    """The program of a peer, built unless it was before from the same sources.

    Raises:
        CannotBuild: its compiler is missing, or failed.
    """
    sources, compiler = {
        FLOOR: ([PEERS / "floor.c"], "cc"),
        GO: (sorted((PEERS / "centrifuge").glob("*.*")), "go"),
    }[name]
    found = shutil.which(compiler)
    if found is None:
        raise CannotBuild(f"there is no `{compiler}` on the PATH")
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "broadcast-bench"
    program = folder / f"{name}-{digest}"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{name}-{os.getpid()}"
        if name == FLOOR:
            command = [found, "-O2", "-o", str(unfinished), str(sources[0])]
        else:
            command = [found, "build", "-o", str(unfinished), "."]
        _compile(command, sources[0].parent)
        unfinished.replace(program)
    return program


def _compile(command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, check=False, timeout=BUILD_DEADLINE_S
        )
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"`{' '.join(command[:2])}` took longer than {BUILD_DEADLINE_S} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CannotBuild(f"`{' '.join(command[:2])}` failed: {last}")
