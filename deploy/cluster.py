"""The processes of a cluster on this machine: started, waited for, watched, stopped in order.

It is for development and tests, not a supervisor: a process that dies is reported, and takes the others with
it unless it was asked to go on. A node that was told to end, by a drain or a signal, is no accident.
Addresses are 127.0.0.1: nothing here is meant for a network.
"""

import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from deploy import nats_process
from deploy.cluster_settings import Output, Ports, Settings, grpc_node_name, node_name
from deploy.ports import HOST
from deploy.processes import Child, describe_exit

_COORDINATOR = "coordinator"
# Servers that elect a leader need several rounds where they run slowly, at up to nine seconds each.
_NATS_READY_MAX_S = 60
_COPIES_MAX = 3  # more cost throughput and survive little more
_READY_MAX_S = 60
_NATS_STOP_MAX_S = 10
_COORDINATOR_STOP_MAX_S = 10
_NODE_STOP_MARGIN_S = 5  # beyond the node's own deadline


class Cluster:
    """The processes of one run.

    Args:
        settings: what it is made of.
        output: where its words go.
        nats_commands: start the servers, by name; not used if the settings name others.
        ports: where they listen.
        nats_fds: descriptors the servers inherit.
    """

    def __init__(
        self,
        settings: Settings,
        output: Output,
        nats_commands: Mapping[str, Sequence[str]],
        ports: Ports,
        *,
        nats_fds: Sequence[int] = (),
    ) -> None:
        self._settings = settings
        self._output = output
        self._nats_commands = nats_commands
        self._nats_fds = nats_fds
        self._ports = ports
        self._nats: list[Child] = []
        self._nodes: list[Child] = []
        self._coordinators: list[Child] = []
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
                    for child in self._children:
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
                for child in self._children:
                    child.kill()
            else:
                self._output.event(f"{name}: stopping the nodes, then the rest; once more kills them")
                self._request_stop()

    @property
    def _children(self) -> list[Child]:
        """In the order in which they are stopped: nodes tell the coordinator that they leave."""
        return [*self._nodes, *self._coordinators, *self._nats]

    def _request_stop(self) -> None:
        self._stopping.set()
        self._starting.cancel()

    def _fail(self, what: str) -> None:
        self._output.event(what)
        self._exit_code = 1
        self._request_stop()

    # --- starting ------------------------------------------------------------------------------------

    async def _start(self, nursery: trio.Nursery) -> None:
        started: dict[str, dict[str, Any]] = {}
        servers = [] if self._settings.nats_url else await self._start_nats(nursery)
        nats_url = self._settings.nats_url or ",".join(server["url"] for server in servers)
        names = [node_name(index) for index in range(self._settings.nodes)]
        grpc_names = [grpc_node_name(index) for index in range(len(self._ports.grpc))]
        async with trio.open_nursery() as waiting:
            for index in range(self._settings.nodes):
                waiting.start_soon(self._start_node, nursery, index, nats_url, started)
            for index in range(len(self._ports.grpc)):
                waiting.start_soon(self._start_grpc_node, nursery, index, nats_url, started)
            if ports := self._ports.coordinator:
                waiting.start_soon(self._start_coordinator, nursery, ports, nats_url, started)
        coordinator = started.get(_COORDINATOR)
        cluster = {
            "nats": {
                "url": nats_url,
                "pid": servers[0]["pid"] if servers else None,
                **({"servers": servers} if len(servers) > 1 else {}),
            },
            "coordinator": coordinator and {"url": coordinator["http"], **_pick(coordinator, "pid", "grpc")},
            "nodes": [
                *({**_pick(started[name], "name", "pid", "http"), "grpc": None} for name in names),
                *(_grpc_node(started[name]) for name in grpc_names),
            ],
        }
        self._ready = True
        if self._settings.ready_file:
            _write_atomically(self._settings.ready_file, json.dumps(cluster) + "\n")
        self._output.ready(cluster)

    async def _start_nats(self, nursery: trio.Nursery) -> list[dict[str, Any]]:
        """Start every server; returns name, address and process id of each."""
        urls: dict[str, str] = {}
        async with trio.open_nursery() as waiting:
            for name, command in self._nats_commands.items():
                child = Child(name, command, pass_fds=self._nats_fds)
                self._nats.append(child)
                waiting.start_soon(self._start_nats_server, nursery, child, urls)
        return [{"name": child.name, "url": urls[child.name], "pid": child.pid} for child in self._nats]

    async def _start_nats_server(self, nursery: trio.Nursery, child: Child, urls: dict[str, str]) -> None:
        readiness = nats_process.Readiness(clustered=len(self._nats_commands) > 1)
        ready = trio.Event()

        def read(line: str) -> None:
            if not ready.is_set() and readiness.read(line):
                ready.set()

        nursery.start_soon(self._follow, child, read)
        with trio.move_on_after(_NATS_READY_MAX_S):
            await ready.wait()
        if not ready.is_set():
            self._fail(f"{child.name} was not ready after {_NATS_READY_MAX_S} s")
            await trio.sleep_forever()  # the failure cancels the start
        urls[child.name] = readiness.url

    async def _start_node(
        self, nursery: trio.Nursery, index: int, nats_url: str, started: dict[str, dict[str, Any]]
    ) -> None:
        command = [*self._settings.node_command, *self._common(nats_url), "--name", node_name(index)]
        command += ["--http-address", HOST, "--http-port", str(self._ports.http[index])]
        command += ["--set", f"demo.peers={self._peers_of(index)}"]
        command += ["--set", f"node.public_url={self._settings.scheme}://{HOST}:{self._ports.http[index]}"]
        await self._start_program(nursery, self._nodes, node_name(index), command, started)

    async def _start_grpc_node(
        self, nursery: trio.Nursery, index: int, nats_url: str, started: dict[str, dict[str, Any]]
    ) -> None:
        port, probes = self._ports.grpc[index]
        name = grpc_node_name(index)
        command = [*self._settings.node_command, *self._common(nats_url), "--name", name, "--serve", "grpc"]
        command += ["--grpc-address", HOST, "--grpc-port", str(port)]
        command += ["--http-address", HOST, "--http-port", str(probes)]
        command += ["--set", f"node.public_url={self._settings.scheme}://{HOST}:{probes}"]
        await self._start_program(nursery, self._nodes, name, command, started)

    async def _start_coordinator(
        self,
        nursery: trio.Nursery,
        ports: tuple[int, int],
        nats_url: str,
        started: dict[str, dict[str, Any]],
    ) -> None:
        command = [*self._settings.coordinator_command, *self._common(nats_url), "--name", _COORDINATOR]
        command += ["--http-address", HOST, "--http-port", str(ports[0]), "--grpc-port", str(ports[1])]
        command += [
            "--set",
            f"coordinator.public_url={self._settings.coordinator_scheme}://{HOST}:{ports[0]}",
        ]
        await self._start_program(nursery, self._coordinators, _COORDINATOR, command, started)

    def _common(self, nats_url: str) -> list[str]:
        """What nodes and coordinators are told alike."""
        consul = self._settings.consul_url
        catalog = ["--set", "catalog.type=consul", "--set", f"catalog.consul.url={consul}"] if consul else []
        copies = min(len(self._nats_commands), _COPIES_MAX)
        replicas = ["--set", f"broker.nats.stream_replicas={copies}"] if copies > 1 else []
        return ["--config", str(self._settings.config), "--nats", nats_url, *replicas, *catalog]

    async def _start_program(
        self,
        nursery: trio.Nursery,
        children: list[Child],
        name: str,
        command: Sequence[str],
        started: dict[str, dict[str, Any]],
    ) -> None:
        """Start a program of ours, and put what it says of itself into `started` when it is ready."""
        reading, writing = os.pipe()
        async with trio.lowlevel.FdStream(reading) as stream:
            try:
                child = Child(name, [*command, "--ready-fd", str(writing)], pass_fds=[writing])
            finally:
                os.close(writing)
            children.append(child)
            nursery.start_soon(self._follow, child, lambda _: None)
            with trio.move_on_after(_READY_MAX_S):
                # It writes one line and closes the pipe; no line means that it is about to die.
                if said := b"".join([chunk async for chunk in stream]):
                    started[name] = {**json.loads(said), "name": name, "pid": child.pid}
                    return
                await trio.sleep_forever()
        self._fail(f"{name} was not ready after {_READY_MAX_S} s")
        await trio.sleep_forever()  # the failure cancels the start

    def _peers_of(self, index: int) -> str:
        """Addresses of the other nodes, for the links of its page."""
        others = [port for other, port in enumerate(self._ports.http) if other != index]
        return ",".join(f"{self._settings.scheme}://{HOST}:{port}" for port in others)

    async def _follow(self, child: Child, read: Callable[[str], None]) -> None:
        """Show what a child writes, and notice its death."""

        def show(line: str) -> None:
            read(line)
            self._output.child(child.name, line)

        await child.follow(show)
        if self._stopping.is_set():
            return
        if self._ready and child in self._nodes and child.exit_code == 0:
            self._output.event(
                f"{child.name} (pid {child.pid}) ended as it was told to; the others keep going"
            )
            # Who asked for the rest to go on may have started other nodes in their place.
            if not self._settings.keep_going and all(node.exited.is_set() for node in self._nodes):
                self._output.event("no node is left: stopping the rest")
                self._request_stop()
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
        await self._end(self._coordinators, _COORDINATOR_STOP_MAX_S)
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


def _pick(said: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: said[key] for key in keys}


def _grpc_node(said: dict[str, Any]) -> dict[str, Any]:
    """Its HTTP port is no place for clients, so it has another name."""
    return {**_pick(said, "name", "pid", "grpc"), "http": None, "probes": said["http"]}


def _write_atomically(path: Path, text: str) -> None:
    """Whoever sees the file sees all of it."""
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_text(text)
    written.replace(path)
