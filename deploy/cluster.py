"""The processes of a cluster on this machine: started, waited for, watched, stopped in order.

It is for development and tests, not a supervisor: a process that dies is reported, and takes the others with
it unless it was asked to go on. Addresses are 127.0.0.1: nothing here is meant for a network.
"""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from deploy import nats_process
from deploy.ports import HOST
from deploy.processes import Child, describe_exit

_NATS_READY_MAX_S = 15
_NODE_READY_MAX_S = 30
_NATS_STOP_MAX_S = 10
_NODE_STOP_MARGIN_S = 5  # beyond the node's own deadline

# `-P`: a folder named `node` where `up` was called must not be imported in place of ours.
NODE_COMMAND = (sys.executable, "-P", "-m", "deploy.cli", "node")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the cluster is made of.

    Attributes:
        nodes: how many.
        http_port: of the first node, the next ones follow; 0 gives each any free port.
        config: file of every node.
        nats_url: servers to use; "" starts one.
        nats_port: of the server that is started; 0 for any free one.
        data: directory JetStream keeps its streams in; None for a temporary one.
        ready_file: where the cluster is described when it is ready, None for nowhere.
        keep_going: whether the others go on when a process dies.
        node_stop_max_s: how long the nodes may take to stop, seconds.
        node_command: the program of a node and its first arguments.
    """

    nodes: int
    http_port: int
    config: Path
    nats_url: str = ""
    nats_port: int = 0
    data: Path | None = None
    ready_file: Path | None = None
    keep_going: bool = False
    node_stop_max_s: float = 30
    node_command: Sequence[str] = NODE_COMMAND


@dataclass(frozen=True, slots=True)
class Output:
    """Where the cluster's words go.

    Attributes:
        child: a line of a process, by its name.
        event: something to know: a death, a stop.
        ready: the cluster's description, once.
    """

    child: Callable[[str, str], None]
    event: Callable[[str], None]
    ready: Callable[[dict[str, Any]], None]


def node_name(index: int) -> str:
    """The name of the node with this index, from 0."""
    return f"node-{index + 1}"


class Cluster:
    """The processes of one run.

    Args:
        settings: what it is made of.
        output: where its words go.
        nats_command: starts the server; not used if the settings name others.
        http_ports: of the nodes.
        nats_fds: descriptors the server inherits.
    """

    def __init__(
        self,
        settings: Settings,
        output: Output,
        nats_command: Sequence[str],
        http_ports: Sequence[int],
        *,
        nats_fds: Sequence[int] = (),
    ) -> None:
        self._settings = settings
        self._output = output
        self._nats_command = nats_command
        self._nats_fds = nats_fds
        self._http_ports = http_ports
        self._nats: list[Child] = []
        self._nodes: list[Child] = []
        self._starting = trio.CancelScope()
        self._stopping = trio.Event()
        self._ready = False
        self._exit_code = 0

    async def run(self) -> int:
        """Start, watch and stop the cluster; returns the exit code. No process stays behind."""
        self._remove_ready_file()
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals)
                try:
                    with self._starting:
                        await self._start(nursery)
                    await self._stopping.wait()
                    await self._stop()
                finally:
                    for child in [*self._nodes, *self._nats]:
                        child.kill()
                    self._remove_ready_file()
                nursery.cancel_scope.cancel()
        return self._exit_code

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            name = signal.Signals(number).name
            if self._stopping.is_set():
                self._output.event(f"{name} again: killing what is left")
                self._exit_code = 1
                for child in [*self._nodes, *self._nats]:
                    child.kill()
            else:
                self._output.event(f"{name}: stopping the nodes, then NATS; once more kills them")
                self._request_stop()

    def _request_stop(self) -> None:
        self._stopping.set()
        self._starting.cancel()

    def _fail(self, what: str) -> None:
        self._output.event(what)
        self._exit_code = 1
        self._request_stop()

    # --- starting ------------------------------------------------------------------------------------

    async def _start(self, nursery: trio.Nursery) -> None:
        nats_url = self._settings.nats_url or await self._start_nats(nursery)
        addresses: dict[int, dict[str, Any]] = {}
        async with trio.open_nursery() as waiting:
            for index in range(self._settings.nodes):
                waiting.start_soon(self._start_node, nursery, index, nats_url, addresses)
        cluster = {
            "nats": {"url": nats_url, "pid": self._nats[0].pid if self._nats else None},
            "coordinator": None,
            "nodes": [addresses[index] for index in sorted(addresses)],
        }
        self._ready = True
        if self._settings.ready_file:
            _write_atomically(self._settings.ready_file, json.dumps(cluster) + "\n")
        self._output.ready(cluster)

    async def _start_nats(self, nursery: trio.Nursery) -> str:
        readiness = nats_process.Readiness()
        ready = trio.Event()

        def read(line: str) -> None:
            if not ready.is_set() and readiness.read(line):
                ready.set()

        self._nats.append(Child("nats", self._nats_command, pass_fds=self._nats_fds))
        nursery.start_soon(self._follow, self._nats[0], read)
        with trio.move_on_after(_NATS_READY_MAX_S):
            await ready.wait()
        if not ready.is_set():
            self._fail(f"nats was not ready after {_NATS_READY_MAX_S} s")
            await trio.sleep_forever()  # the failure cancels the start
        return readiness.url

    async def _start_node(
        self, nursery: trio.Nursery, index: int, nats_url: str, addresses: dict[int, dict[str, Any]]
    ) -> None:
        """Start a node and put what it says of itself into `addresses` when it is ready."""
        name = node_name(index)
        reading, writing = os.pipe()
        async with trio.lowlevel.FdStream(reading) as stream:
            try:
                command = [
                    *self._settings.node_command,
                    "--config",
                    str(self._settings.config),
                    "--name",
                    name,
                ]
                command += ["--http-address", HOST, "--http-port", str(self._http_ports[index])]
                command += ["--set", f"demo.peers={self._peers_of(index)}"]
                command += ["--nats", nats_url, "--ready-fd", str(writing)]
                child = Child(name, command, pass_fds=[writing])
            finally:
                os.close(writing)
            self._nodes.append(child)
            nursery.start_soon(self._follow, child, lambda _: None)
            with trio.move_on_after(_NODE_READY_MAX_S):
                # The node writes one line and closes the pipe; no line means that it is about to die.
                if said := b"".join([chunk async for chunk in stream]):
                    http = json.loads(said)["http"]
                    addresses[index] = {"name": name, "pid": child.pid, "http": http, "grpc": None}
                    return
                await trio.sleep_forever()
        self._fail(f"{name} was not ready after {_NODE_READY_MAX_S} s")

    def _peers_of(self, index: int) -> str:
        """Addresses of the other nodes, for the links of its page."""
        others = [port for other, port in enumerate(self._http_ports) if other != index]
        return ",".join(f"http://{HOST}:{port}" for port in others)

    async def _follow(self, child: Child, read: Callable[[str], None]) -> None:
        """Show what a child writes, and notice its death."""

        def show(line: str) -> None:
            read(line)
            self._output.child(child.name, line)

        await child.follow(show)
        if self._stopping.is_set():
            return
        how = describe_exit(child.exit_code or 0)
        last = "".join(f"\n    {line}" for line in child.last_lines)
        what = f"{child.name} (pid {child.pid}) ended unexpectedly: {how}; its last lines:{last}"
        if self._settings.keep_going and self._ready:
            self._output.event(f"{what}\nthe others keep going")
        else:
            self._fail(what)

    # --- stopping ------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        await self._end(self._nodes, self._settings.node_stop_max_s + _NODE_STOP_MARGIN_S)
        await self._end(self._nats, _NATS_STOP_MAX_S)
        self._output.event("stopped")

    async def _end(self, children: Sequence[Child], stop_max_s: float) -> None:
        for child in children:
            child.terminate()
        with trio.move_on_after(stop_max_s):
            for child in children:
                await child.exited.wait()
        for child in children:
            if not child.exited.is_set():
                self._exit_code = 1
                self._output.event(f"{child.name} did not stop within {stop_max_s:.0f} s: killing it")
                child.kill()
                await child.exited.wait()

    def _remove_ready_file(self) -> None:
        """A file that says `ready` while nothing runs would lie to whoever waits for it."""
        if self._settings.ready_file:
            self._settings.ready_file.unlink(missing_ok=True)


def _write_atomically(path: Path, text: str) -> None:
    """Whoever sees the file sees all of it."""
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_text(text)
    written.replace(path)
