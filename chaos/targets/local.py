"""A cluster on this machine: `broadcast up`, its own or one that runs, and its parts by their process ids.

What `up` started and a fault ended is started again from here, as what it was: the command line of a
process is read before it is ended. So an operator's own cluster can be judged as it is configured.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import trio

from chaos.history import Sample
from chaos.proxy import CLEAR, Proxy
from chaos.targets import consul
from chaos.targets.child import Child, Program, ended, gone, program_of
from chaos.targets.interface import Failed, Kind, Part, Skipped
from chaos.targets.usage import Usage, get
from chaos.workload.spec import NodeAddress

CONFIG = Path(__file__).with_name("local.yaml")
_BROADCAST = (sys.executable, "-P", "-m", "deploy.cli")
_READY_MAX_S = 60.0
_STOP_MAX_S = 15.0
# A node's own limit is `shutdown.timeout`, by default so long; the margin shows that it did not keep it.
_SHUTDOWN_S = 30.0
_MARGIN_S = 15.0
_POLL_S = 0.05


class Local:
    """See the module; a Target. Use `run`, which starts it and leaves no process behind.

    Args:
        directory: of the run: logs are written there.
        nodes: how many that serve HTTP, and how many that serve gRPC.
        nats_servers: how many.
        links: which go through a proxy: `clients`, `nats`.
        chance: of the proxies.
        ready_file: of a cluster that runs; None to start one.
        consul: whether the catalog is in Consul; its agent is then a part of the run.

    Attributes:
        stop_max_s: see Target.
    """

    stop_max_s = _SHUTDOWN_S

    def __init__(
        self,
        directory: Path,
        nodes: tuple[int, int],
        nats_servers: int,
        links: frozenset[str],
        chance: random.Random,
        ready_file: Path | None = None,
        *,
        consul: bool = False,
    ) -> None:
        self._directory = directory
        self._nodes = nodes
        self._nats_servers = nats_servers
        self._wanted_links = links
        self._chance = chance
        self._attached = ready_file is not None
        self._consul = consul
        self._ready_file = ready_file or directory / "ready.json"
        self._up: Child | None = None
        self._parts: dict[str, Part] = {}
        self._programs: dict[str, Program] = {}
        self._children: dict[str, Child] = {}
        self._usage = Usage()
        self.links: dict[str, Proxy] = {}

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Start the cluster, keep it until cancelled, and stop it.

        Raises:
            Skipped: it does not become ready, the message has the end of its log; or there is no Consul.
        """
        try:
            async with trio.open_nursery() as nursery:
                await self._begin(nursery)
                task_status.started()
                await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self._stop()

    # --- starting ------------------------------------------------------------------------------------

    async def _begin(self, nursery: trio.Nursery) -> None:
        if not self._attached:
            if self._consul:
                await self._start_consul()
            await self._start_up()
        described = json.loads(self._ready_file.read_text())
        for found in _listed(described):
            self._parts[found.name] = found
            self._programs[found.name] = program_of(found.pid)
        if not self.parts("node"):
            raise Skipped(f"{self._ready_file.name} describes no node of this machine")
        if "nats" in self._wanted_links:
            for part in self.parts("node"):
                await self._through_proxies(part, nursery)
        if "clients" in self._wanted_links:
            for part in self.parts("node"):
                where = f"grpc://{part.grpc}" if part.grpc else part.url
                self.links[f"clients:{part.name}"] = await self._proxy(where, nursery)

    async def _start_up(self) -> None:
        http, grpc = self._nodes
        options = ["--nodes", str(http), "--http-port", "0", "--keep-going", "--config", str(CONFIG)]
        options += ["--grpc-nodes", str(grpc), "--grpc-port", "0"]
        options += ["--ready-file", str(self._ready_file)]
        if self._consul:
            options += ["--consul", self._parts[consul.NAME].url]
        if self._nats_servers > 1:
            options += ["--nats-servers", str(self._nats_servers)]
        program = Program((*_BROADCAST, "up", *options), str(Path.cwd()), os.environ)
        log = self._directory / "cluster.log"
        self._up = Child(program, log)
        with trio.move_on_after(_READY_MAX_S):
            while not self._ready_file.exists() and self._up.running:  # noqa: ASYNC110 - nobody tells us
                await trio.sleep(_POLL_S)
        if not self._ready_file.exists():
            last = "\n".join(log.read_text().splitlines()[-10:])
            raise Skipped(f"the cluster did not become ready:\n{last}")

    async def _start_consul(self) -> None:
        program, url = consul.program(consul.find(), self._directory, self._chance)
        self._programs[consul.NAME] = program
        self._parts[consul.NAME] = Part(consul.NAME, "catalog", 0, url, up=False)
        await self._start_again(consul.NAME)

    async def _proxy(self, url: str, nursery: trio.Nursery) -> Proxy:
        address = urlsplit(url)
        proxy = Proxy(address.hostname or "", address.port or 0, self._chance)
        await nursery.start(proxy.run)
        return proxy

    async def _through_proxies(self, part: Part, nursery: trio.Nursery) -> None:
        """Start a node again with a proxy of its own in front of each NATS server."""
        urls = []
        for server in self.parts("broker"):
            proxy = self.links[f"{part.name}:{server.name}"] = await self._proxy(server.url, nursery)
            urls.append(f"nats://127.0.0.1:{proxy.port}")
        await self.kill(part.name)  # nobody is connected yet
        self._programs[part.name] = self._programs[part.name].with_option("--nats", ",".join(urls))
        await self.start(part.name)

    # --- what there is -------------------------------------------------------------------------------

    def parts(self, kind: Kind) -> Sequence[Part]:
        """See Target."""
        return [part for part in self._parts.values() if part.kind == kind]

    def addresses(self) -> tuple[NodeAddress, ...]:
        """See Target."""
        found = []
        for part in self.parts("node"):
            address = urlsplit(f"grpc://{part.grpc}" if part.grpc else part.url)
            proxy = self.links.get(f"clients:{part.name}")
            port = address.port or 0 if proxy is None else proxy.port
            serves: Literal["http", "grpc"] = "grpc" if part.grpc else "http"
            found.append(NodeAddress(part.name, address.hostname or "", port, serves))
        return tuple(found)

    def lost(self) -> list[str]:
        """See Target."""
        found = [name for name, part in self._parts.items() if part.up and ended(part.pid)]
        for name in found:
            self._parts[name] = self._parts[name]._replace(up=False)
        return found

    async def samples(self) -> list[Sample]:
        """See Target."""
        rates = await self._connect_rates()
        found: list[Sample] = []

        async def take(part: Part) -> None:
            sample = await self._usage.sample(part, rates)
            if sample is not None:
                found.append(sample)

        async with trio.open_nursery() as nursery:
            for part in tuple(self._parts.values()):
                nursery.start_soon(take, part)
        return found

    async def leader(self) -> str:
        """See Target."""
        view = await self._view()
        return str((view.get("leader") or {}).get("name", ""))

    async def _connect_rates(self) -> Mapping[str, float]:
        view = await self._view()
        return {node["name"]: float(node["connect_rate_max"]) for node in view.get("nodes", ())}

    async def _view(self) -> dict[str, Any]:
        """The cluster as some coordinator sees it, {} if none answers."""
        for part in self.parts("coordinator"):
            body = await get(part.url, "/v1/nodes") if part.up else None
            if body:
                view: dict[str, Any] = json.loads(body)
                return view
        return {}

    # --- what can be done to it ----------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """See Target."""
        await self._end(name, signal.SIGKILL)

    async def terminate(self, name: str) -> None:
        """See Target."""
        await self._end(name, signal.SIGTERM)

    async def _end(self, name: str, number: signal.Signals) -> None:
        part = self._parts[name]
        self._parts[name] = part._replace(up=False)
        try:
            os.kill(part.pid, number)
        except ProcessLookupError:
            return
        patience_s = self.stop_max_s + _MARGIN_S
        with trio.move_on_after(patience_s):
            await gone(part.pid)
            return
        os.kill(part.pid, signal.SIGKILL)
        await gone(part.pid)
        raise Failed(f"{name} had not ended {patience_s:.0f} s after {number.name}, and was killed")

    async def pause(self, name: str) -> None:
        """See Target."""
        part = self._parts[name]
        os.kill(part.pid, signal.SIGSTOP)
        self._parts[name] = part._replace(up=False)

    async def resume(self, name: str) -> None:
        """See Target."""
        part = self._parts[name]
        if not ended(part.pid):
            os.kill(part.pid, signal.SIGCONT)
            self._parts[name] = part._replace(up=True)

    async def start(self, name: str) -> None:
        """See Target."""
        part = self._parts[name]
        if part.up:
            return
        if not ended(part.pid):
            await self.resume(name)
            return
        await self._start_again(name)

    async def _start_again(self, name: str) -> None:
        part = self._parts[name]
        program = self._programs[name]
        url = part.url
        with trio.move_on_after(_READY_MAX_S) as patience:
            if part.kind == "broker":
                child = self._children[name] = Child(program, self._log(name))
                await _listening(url, child)
            elif part.kind == "catalog":
                child = self._children[name] = Child(program, self._log(name))
                await consul.ready(url, child)
            else:
                child, said = await self._start_program(name, program)
                url = said["http"]
        if patience.cancelled_caught or not child.running:
            raise Failed(f"{name} did not become ready; see {self._log(name).name}")
        self._parts[name] = part._replace(pid=child.pid, url=url, up=True)

    async def _start_program(self, name: str, program: Program) -> tuple[Child, dict[str, Any]]:
        """Start a program of the project's; it says where it listens when it is ready."""
        reading, writing = os.pipe()
        async with trio.lowlevel.FdStream(reading) as stream:
            try:
                program = program.with_option("--ready-fd", str(writing))
                child = self._children[name] = Child(program, self._log(name), pass_fds=[writing])
            finally:
                os.close(writing)
            said = b"".join([bytes(chunk) async for chunk in stream])
        if not said:
            raise Failed(f"{name} did not start; see {self._log(name).name}")
        return child, json.loads(said)

    async def add_node(self) -> str:
        """See Target."""
        return await self._add("node", {"--http-port": "0"})

    async def add_coordinator(self) -> str:
        """See Target."""
        return await self._add("coordinator", {"--http-port": "0", "--grpc-port": "0"})

    async def _add(self, kind: Kind, options: Mapping[str, str]) -> str:
        like = [part for part in self.parts(kind) if not part.grpc]
        if not like:
            raise Skipped(f"there is no {kind} to make another one like it")
        name = f"{kind}-{len(like) + 1}"
        program = self._programs[like[0].name].with_option("--name", name)
        for option, value in options.items():
            program = program.with_option(option, value)
        child, said = await self._start_program(name, program)
        port = str(urlsplit(said["http"]).port)
        # When it is started again it comes back where it was.
        self._programs[name] = program.with_option("--http-port", port)
        self._parts[name] = Part(name, kind, child.pid, said["http"], up=True)
        return name

    async def operate(self, *arguments: str) -> str:
        """See Target."""
        coordinators = [part for part in self.parts("coordinator") if part.up]
        if not coordinators:
            raise Skipped("there is no coordinator")
        command = [*_BROADCAST, *arguments, "--coordinator", coordinators[0].url]
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise Failed(f"broadcast {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode()

    async def heal(self) -> None:
        """See Target."""
        for proxy in self.links.values():
            proxy.conditions = CLEAR
        for name, part in tuple(self._parts.items()):
            if not part.up and not ended(part.pid):
                await self.resume(name)
        for kind in ("catalog", "broker", "coordinator", "node"):
            for part in self.parts(kind):
                await self.start(part.name)

    # --- stopping ------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        if self._attached:
            for part in self._parts.values():
                if not ended(part.pid):
                    os.kill(part.pid, signal.SIGCONT)
        async with trio.open_nursery() as nursery:
            for name, child in self._children.items():
                if self._parts[name].kind == "node":
                    nursery.start_soon(child.stop, _STOP_MAX_S)
        if self._up is not None:
            await self._up.stop(2 * _STOP_MAX_S)
        for child in self._children.values():
            child.kill()

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"


def _listed(described: Mapping[str, Any]) -> list[Part]:
    """The parts that a ready file describes and whose processes it knows."""
    nats = described["nats"]
    servers = nats.get("servers") or [{"name": "nats", "url": nats["url"], "pid": nats["pid"]}]
    found = [Part(each["name"], "broker", each["pid"], each["url"], up=True) for each in servers]
    if coordinator := described.get("coordinator"):
        found.append(Part("coordinator", "coordinator", coordinator["pid"], coordinator["url"], up=True))
    for node in described["nodes"]:
        url = node["http"] or node["probes"]
        found.append(Part(node["name"], "node", node["pid"], url, up=True, grpc=node["grpc"] or ""))
    return [part for part in found if part.pid]


async def _listening(url: str, child: Child) -> None:
    """Wait until somebody listens there, or the child that should has ended."""
    address = urlsplit(url)
    while child.running:
        try:
            stream = await trio.open_tcp_stream(address.hostname or "", address.port or 0)
        except OSError:
            await trio.sleep(_POLL_S)
        else:
            await stream.aclose()
            return
