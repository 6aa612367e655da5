"""Where servers compete: those that can be had, all at once, a load generator for each, rounds in turn.

Turn by turn, so that a machine that becomes slower does so for everybody.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.bench.load import Plan, Report, Worker
from tests.bench.measure import FLOOR, GO, Cpu, Round
from tests.bench.servers import CannotBuild, Server, build, nodes, peer

_QUIET_CPU_S = 0.002
_QUIET_LOOKS = 100


class Contestant(NamedTuple):
    """A server and the load generator that is its own."""

    server: Server
    worker: Worker


@dataclass(slots=True)
class Arena:
    """What all benchmarks of a run share.

    Attributes:
        quick: less of everything, for ratios that only have to show a large change.
        missing: peers that cannot be had, with the reason.
        say: tells the person who waits what goes on.
    """

    quick: bool
    say: Callable[[str], None]
    missing: dict[str, str] = field(default_factory=dict)

    def size(self, full: int, quick: int) -> int:
        """One of two numbers: of a full run or of a quick one."""
        return quick if self.quick else full

    def build_peers(self) -> None:
        """Build what can be built, and remember what cannot."""
        for name in (FLOOR, GO):
            try:
                build(name)
            except CannotBuild as error:
                self.missing[name] = str(error)

    @contextlib.contextmanager
    def contestants(self, *peers: str, history: bool = False) -> Iterator[list[Contestant]]:
        """A node and those peers that can be had, freshly started.

        Args:
            *peers: FLOOR, GO.
            history: whether what is published is kept.
        """
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(nodes())[0]]
            there = [name for name in peers if name not in self.missing]
            servers += [stack.enter_context(peer(name, history=history)) for name in there]
            yield [Contestant(server, stack.enter_context(Worker())) for server in servers]

    def rounds(self, contestants: list[Contestant], play: Callable[[Contestant, bool], Round]) -> list[Round]:
        """A warm-up of each, then rounds in turn.

        Args:
            contestants: the servers.
            play: makes one round; the flag says that it is the warm-up.
        """
        for contestant in contestants:
            play(contestant, True)
        count = self.size(5, 3)
        return [play(contestant, False) for _ in range(count) for contestant in contestants]


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
        samples=report.samples,
    )


def wait_until_quiet(server: Server) -> None:
    """Return when a server has finished what it was doing: it uses no processor any more."""
    clock = threading.Event()
    for _ in range(_QUIET_LOOKS):
        before = server.cpu()
        clock.wait(0.1)
        if server.cpu().since(before).own < _QUIET_CPU_S:
            return
