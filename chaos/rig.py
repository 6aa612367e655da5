"""A run: the cluster, its clients, the faults in force, and the history they leave.

Everything that happens is written down here and nothing is judged until the end. Leaving the run ends every
process of it, whatever happened.
"""

import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import trio

from chaos.checkers.judge import judge
from chaos.checkers.verdict import Bounds, Verdict, worst
from chaos.faults.catalogue import FAULTS
from chaos.faults.interface import Fault, Scene
from chaos.generator import Workload
from chaos.history import FaultChanged, Note, Phase, Rebalance, Run, Sample
from chaos.history_file import HistoryWriter
from chaos.recorded import Recorded
from chaos.settings import Settings
from chaos.targets.interface import Failed, Skipped, Target
from chaos.targets.kubernetes import Kubernetes
from chaos.targets.kubernetes_api import Api
from chaos.targets.local import Local
from chaos.workers import Worker
from chaos.workload.spec import Command, NodeAddress, Spec
from chaos.workload.transports import ALWAYS, GRPC, TRANSPORTS

_SAMPLE_EVERY_S = 1.0
_LAG_EVERY_S = 0.1
_BASELINE_S = 2.0
_JOIN_PER_S = 1000
_JOIN_MAX_S = 30.0
_IDLE_MAX_S = 30.0
_LEAVE_MAX_S = 20.0
_REST_S = 4.0  # for nodes to give back what clients used
_STEADY_MAX_S = 10.0
# There are always some clients that are just going elsewhere by their own wish.
_STEADY_SHARE = 0.99
_MOVING = 3
_PUBLISHERS = 16
_PUBLISHING_MAX_S = 24 * 3600.0


class Rig:
    """See the module; made by `open_rig`.

    Args:
        settings: what is run.
        target: the cluster, running.
        directory: where the history is written.
        nursery: ends with the run.

    Attributes:
        phase: see history.Phase; "" before the first.
        worker: the workload process.
        failures: what could not be done as the experiment says.
        verdicts: of the checkers, None before `judge`.
        recorded: the whole history, None before `judge`.
    """

    def __init__(self, settings: Settings, target: Target, directory: Path, nursery: trio.Nursery) -> None:
        self.settings = settings
        self.target = target
        self.directory = directory
        self.phase = ""
        self._closed = False
        self._nursery = nursery
        self._history = HistoryWriter(directory / "runner.jsonl")
        self._workload = workload_of(settings, target.addresses())
        self._faults: dict[str, Fault] = {}
        self._injected = 0
        self.worker = Worker(self._spec(), directory)
        self.failures: list[str] = []
        self.verdicts: list[Verdict] | None = None
        self.recorded: Recorded | None = None
        now = time.monotonic()
        started = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        namespaces = (self._workload.history_namespace,)
        self._history.write(Run(now, settings.name, settings.seed, settings.command, started, namespaces))

    def _spec(self) -> Spec:
        history = str(self.directory / "workload-1.jsonl")
        nodes = self.target.addresses()
        return Spec(
            "workload-1", history, self._workload, nodes, self.settings.api_key, self.settings.silence_max_s
        )

    # --- the course of a run -------------------------------------------------------------------------

    async def begin(self) -> None:
        """Take the baseline, let clients connect, and begin to publish.

        Raises:
            Skipped: not all clients could connect.
        """
        self._enter("baseline")
        self._nursery.start_soon(self._watch)
        await trio.sleep(_BASELINE_S)
        self._enter("connect")
        await self._nursery.start(self.worker.run)
        await self.tell(Command("connect", seconds=self._workload.clients / _JOIN_PER_S))
        everybody = self._workload.clients
        joined = await self.worker.until(
            lambda status: status.live >= everybody, _JOIN_MAX_S + everybody / _JOIN_PER_S
        )
        if not joined:
            raise Skipped(f"only {self.worker.status.live} of {everybody} clients could subscribe")
        self._enter("load")
        await self.tell(Command("publish"))

    def begin_faults(self) -> None:
        """From here on the cluster is not left alone."""
        if self.phase == "load":
            self._enter("faults")

    async def inject(self, name: str, target: str = "", *, optional: bool = False) -> str:
        """Bring a fault about; returns its full name. One that cannot be is written down as skipped.

        Args:
            name: of faults.catalogue.
            target: what it hits, "" for the fault's or the seed's own choice.
            optional: one among many; otherwise a run without it would prove nothing, and is no success.
        """
        self.begin_faults()
        try:
            fault = FAULTS[name](self._scene(), target)
        except Skipped as skipped:
            self._skip(f"{name} {target}".strip(), skipped, optional=optional)
            return name
        if fault.name in self._faults:
            self._skip(fault.name, Skipped("it is in force already"), optional=optional)
            return fault.name
        self._history.write(
            FaultChanged(
                time.monotonic(),
                fault.name,
                "inject",
                node=fault.node,
                drain_deadline_s=fault.drain_deadline_s,
                slow=fault.slow,
            )
        )
        self._faults[fault.name] = fault
        with self.noting_failure():
            try:
                await fault.inject()
            except Skipped as skipped:
                del self._faults[fault.name]
                self._history.write(FaultChanged(time.monotonic(), fault.name, "heal", slow=fault.slow))
                self._skip(fault.name, skipped, optional=optional)
        return fault.name

    def _scene(self) -> Scene:
        """Where the next fault happens, with chance of its own.

        What a fault draws while it is in force depends on times: no other one may notice how much that was.
        """
        self._injected += 1
        chance = random.Random(f"{self.settings.seed}/fault-{self._injected}")  # noqa: S311 - no secret
        return Scene(self.target, self, chance, self._nursery, self._workload.channels)

    def _skip(self, name: str, why: Skipped, *, optional: bool) -> None:
        if not optional:
            self.failures.append(f"{name} was skipped: {why}")
        self._history.write(FaultChanged(time.monotonic(), name, "skipped", str(why)))

    async def heal(self, name: str = "") -> None:
        """Undo the faults whose name begins so; all of them for ""."""
        for full_name in [each for each in self._faults if each.startswith(name)]:
            fault = self._faults.pop(full_name)
            self._history.write(FaultChanged(time.monotonic(), full_name, "healing", slow=fault.slow))
            with self.noting_failure():
                await fault.heal()
            self._history.write(FaultChanged(time.monotonic(), full_name, "heal", slow=fault.slow))

    async def heal_everything(self) -> None:
        """Undo every fault, and let every part run that does not."""
        await self.heal()
        with self.noting_failure():
            await self.target.heal()

    async def final(self) -> None:
        """Heal everything, stop publishing, and wait until every client has what was accepted."""
        if self.phase in ("final", "idle"):
            return
        await self.heal_everything()
        self._enter("final")
        await self.tell(Command("pause"))
        await self.worker.until(lambda status: status.idle, _IDLE_MAX_S)
        patience_s = self.settings.patience_s
        await self.tell(Command("final", seconds=patience_s))
        await self.worker.until(lambda status: status.done == "final", patience_s + _IDLE_MAX_S)
        self._enter("idle")
        await self.tell(Command("leave"))
        await self.worker.until(lambda status: status.done == "leave", _LEAVE_MAX_S)
        await trio.sleep(_REST_S)

    async def judge(self) -> list[Verdict]:
        """What the checkers say of the whole history; ends it with `final` first. Asked again, the same."""
        if self.verdicts is None:
            await self.final()
            self._closed = True
            self._history.close(time.monotonic())
            paths = sorted(self.directory.glob("*.jsonl"))
            recorded = self.recorded = await trio.to_thread.run_sync(Recorded.load, paths)
            bounds = msgspec.convert(self.settings.bounds, Bounds)
            if self.settings.target == "kubernetes":
                # What a pod uses of files and memory is known to its machine only.
                bounds = msgspec.structs.replace(bounds, requires=bounds.requires - {"leaks"})
            self.verdicts = await trio.to_thread.run_sync(judge, recorded, bounds)
        return self.verdicts

    async def steady(self) -> bool:
        """Whether everybody is subscribed and gets what is published, now, within a few seconds."""
        began = self.worker.status.deliveries
        return await self.worker.until(
            lambda status: (
                status.live >= status.clients * _STEADY_SHARE - _MOVING and status.deliveries > began
            ),
            _STEADY_MAX_S,
        )

    async def verdict(self) -> str:
        """The worst of `judge`; invalid too if the cluster failed to do something."""
        verdicts = await self.judge()
        return "invalid" if self.failures else worst(verdicts)

    # --- what happens meanwhile ----------------------------------------------------------------------

    async def tell(self, command: Command) -> None:
        """See faults.interface.Workload."""
        await self.worker.tell(command)

    async def nodes_changed(self) -> None:
        """Let clients know of nodes that came."""
        await self.tell(Command("nodes", nodes=self.target.addresses()))

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Note what the cluster fails to do, and go on: it counts against it at the end.

        What was broken has to be put right: that a part which it takes is not there is a failure too.
        """
        try:
            yield
        except (Failed, Skipped) as failed:
            self.failures.append(str(failed))
            self.note(str(failed))

    @property
    def in_force(self) -> tuple[str, ...]:
        """The faults in force."""
        return tuple(self._faults)

    async def rebalance(self, rate: float) -> None:
        """Even out the load of the nodes, and wait for the end of that.

        Args:
            rate: clients a second at most, 0 for what nodes can take.
        """
        self.begin_faults()
        nodes = tuple(part.name for part in self.target.parts("node") if part.up and not part.grpc)
        self.note("rebalance begins")
        self._history.write(Rebalance(time.monotonic(), "begin", nodes, rate))
        with self.noting_failure():
            await self.target.operate("rebalance", "--rate", f"{rate:g}", "--json")
        self._history.write(Rebalance(time.monotonic(), "end", nodes, rate))
        self.note("rebalance has ended")

    def note(self, text: str) -> None:
        """Write something down."""
        self._history.write(Note(time.monotonic(), text))

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self._history.write(Phase(time.monotonic(), phase))  # type: ignore[arg-type]

    async def _watch(self) -> None:
        """Write samples of every process until the history ends."""
        used, at, lag_s = time.process_time(), time.monotonic(), 0.0
        sample_at = trio.current_time()
        while True:
            due = trio.current_time() + _LAG_EVERY_S
            await trio.sleep_until(due)
            now = trio.current_time()
            lag_s = max(lag_s, now - due)
            if now < sample_at:
                continue
            sample_at = now + _SAMPLE_EVERY_S
            samples = await self.target.samples()
            if self._closed:
                return
            for name in self.target.lost():
                self.failures.append(f"{name} ended by itself")
                self.note(f"{name} ended by itself")
            for sample in samples:
                self._history.write(sample)
            cpu = (time.process_time() - used) / (time.monotonic() - at)
            used, at = time.process_time(), time.monotonic()
            self._history.write(Sample(at, "runner", "harness", cpu=cpu, loop_lag_s=lag_s))
            self._history.flush()
            lag_s = 0.0


@asynccontextmanager
async def open_rig(settings: Settings, directory: Path) -> AsyncIterator[Rig]:
    """A cluster with nobody connected yet; leaving the context ends every process of the run.

    Args:
        settings: what is run.
        directory: exists and is empty.

    Raises:
        Skipped: the cluster does not start.
    """
    if settings.target == "kubernetes":
        installed = Kubernetes(Api(), settings.installation, settings.nodes)
        async with trio.open_nursery() as nursery:
            await nursery.start(installed.run)
            rig = Rig(settings, installed, directory, nursery)
            nursery.start_soon(installed.follow, rig.nodes_changed)
            yield rig
            nursery.cancel_scope.cancel()
        return
    chance = random.Random(f"{settings.seed}/links")  # noqa: S311 - no secret
    ready_file = Path(settings.ready_file) if settings.ready_file else None
    target = Local(
        directory,
        (settings.nodes, settings.grpc_nodes),
        settings.nats_servers,
        frozenset(settings.links),
        chance,
        ready_file,
        consul=settings.consul,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(target.run)
        yield Rig(settings, target, directory, nursery)
        nursery.cancel_scope.cancel()


def workload_of(settings: Settings, nodes: Sequence[NodeAddress]) -> Workload:
    """What the generator is asked for: publishing lasts until it is told to pause.

    Args:
        settings: of the run.
        nodes: of the cluster; where none of them serves gRPC, its share is the others'.
    """
    transports = settings.transports or (ALWAYS if settings.ready_file else tuple(TRANSPORTS))
    if all(node.serves != "grpc" for node in nodes):
        transports = tuple(transport for transport in transports if transport != GRPC)
    return Workload(
        seed=settings.seed,
        duration_s=_PUBLISHING_MAX_S,
        nodes=settings.nodes,
        run=f"{time.time():.0f}-" if settings.ready_file or settings.target == "kubernetes" else "",
        clients=settings.clients,
        slow_clients=settings.slow_clients,
        transports=transports,
        deliveries_per_s=settings.deliveries_per_s,
        publishers=_PUBLISHERS,
    )
