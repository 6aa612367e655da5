"""Where servers compete: those that can be had, all at once, a load generator for each, rounds in turn.

Turn by turn, so that a machine that becomes slower does so for everybody.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from tests.bench.building import CannotBuild, command_of
from tests.bench.load import Plan, Report, Worker
from tests.bench.measure import FLOOR, GO, GO_NATS, HYPERCORN, TRIO_WEBSOCKET, Cpu, Round
from tests.bench.options import Options
from tests.bench.servers import Server, nodes_and_nats, peer
from tests.bench.subscribers import LoadError
from tests.nats_server import NatsServer

_SIZE = 128
_QUIET_CPU_S = 0.002
_QUIET_LOOK_S = 0.1
_QUIET_LOOKS = 100
Number = TypeVar("Number", int, float)


class Contestant(NamedTuple):
    """A server and the load generator that is its own."""

    server: Server
    worker: Worker


@dataclass(slots=True)
class Arena:
    """What all benchmarks of a run share.

    Attributes:
        quick: less of everything, for ratios that only have to show a large change.
        say: tells the person who waits what goes on.
        options: what was asked for instead of the benchmarks' own numbers.
        profiles: a folder for the nodes' profiles, if they are to be profiled.
        missing: peers that cannot be had, with the reason.
    """

    quick: bool
    say: Callable[[str], None]
    options: Options = field(default_factory=Options)
    profiles: Path | None = None
    missing: dict[str, str] = field(default_factory=dict)

    def either(self, full: Number, quick: Number) -> Number:
        """One of two numbers: of a full run or of a quick one."""
        return quick if self.quick else full

    def clients(self, full: int, quick: int) -> int:
        """How many subscribers, unless another number was asked for."""
        return self.options.subscribers or self.either(full, quick)

    @property
    def payload(self) -> int:
        """Bytes of a publication's data."""
        return self.options.size or _SIZE

    @property
    def round_count(self) -> int:
        """How many rounds, the warm-up not included."""
        return self.options.rounds or self.either(5, 3)

    def plan(self, rate: float, seconds: float, burst: int = 1) -> Plan:
        """Publications at a rate, unless another one was asked for, for so long."""
        rate = self.options.rate or rate
        return Plan(rate, max(burst, round(rate * seconds)), burst, self.payload)

    def build_peers(self) -> None:
        """Build what can be built, and remember what cannot."""
        for name in (FLOOR, GO, GO_NATS, TRIO_WEBSOCKET, HYPERCORN):
            try:
                command_of(name)
            except CannotBuild as error:
                self.missing[name] = str(error)

    @contextlib.contextmanager
    def nodes(self, count: int = 1) -> Iterator[tuple[list[Server], NatsServer]]:
        """Nodes of ours and their nats-server, profiled if that was asked for."""
        with nodes_and_nats(count, self.profiles) as there:
            yield there

    @contextlib.contextmanager
    def contestants(self, *peers: str, history: bool = False) -> Iterator[list[Contestant]]:
        """A node and those peers that can be had, freshly started.

        Args:
            *peers: their names.
            history: whether what is published is kept.
        """
        with contextlib.ExitStack() as stack:
            servers, nats = stack.enter_context(self.nodes())
            for name in peers:
                if name not in self.missing:
                    servers.append(stack.enter_context(peer(name, history=history, nats=nats)))
            yield [Contestant(server, stack.enter_context(Worker())) for server in servers]

    def rounds(self, contestants: list[Contestant], play: Callable[[Contestant, bool], Round]) -> list[Round]:
        """A warm-up of each, then rounds in turn.

        Args:
            contestants: the servers.
            play: makes one round; the flag says that it is the warm-up.
        """
        for contestant in contestants:
            play(contestant, True)
        return [play(contestant, False) for _ in range(self.round_count) for contestant in contestants]


def publishing(contestant: Contestant, plan: Plan, clients: int) -> Round:
    """A round in which publications go to clients that are there already."""
    server, worker = contestant
    before = server.cpu()
    report = worker.publish_and_receive(server.target, plan)
    return round_of(server, server.cpu().since(before), report, plan, clients)


def round_of(server: Server, cpu: Cpu, report: Report, plan: Plan, clients: int) -> Round:
    """What came of a plan, as a round whose unit is the delivery."""
    return Round(
        server.name,
        plan.count * clients,
        cpu,
        report.wall_s,
        report.cpu_s,
        plan.count * clients,
        report.came,
        plan.rate,
        plan.count / report.sending_s,
        report.reads,
        report.outstanding_s,
        uneven=report.uneven,
        samples=report.samples,
    )


def wait_until_quiet(server: Server) -> None:
    """Return when a server has finished what it was doing: it uses no processor any more.

    Raises:
        LoadError: it has not after ten seconds; whatever is measured next would not be what was asked of it.
    """
    clock = threading.Event()
    for _ in range(_QUIET_LOOKS):
        before = server.cpu()
        clock.wait(_QUIET_LOOK_S)
        if server.cpu().since(before).own < _QUIET_CPU_S:
            return
    raise LoadError(
        f"{server.name} is still at work {_QUIET_LOOKS * _QUIET_LOOK_S:.0f} s after it was left alone"
    )
