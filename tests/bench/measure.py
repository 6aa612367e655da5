"""What a benchmark measures and how its figures are put together; nothing here starts or sends anything.

CPU time is that of the serving process and its children, by the kernel's own nanosecond accounting. It is
compared with what another server needed in the same run, never with a figure of another day: the machines
are noisy, so every figure is the median of several rounds and comes with the smallest and the largest.
"""

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

# The servers, as the columns of the table.
NODE, FLOOR, GO = "node", "floor", "go"
# Those that are measured beside them here and there.
GO_NATS, TRIO_WEBSOCKET, HYPERCORN = "go_nats", "trio_websocket", "hypercorn"
# A node of ours that does the same in the usual way, without what disturbs it, or over TLS and TCP.
WEBSOCKET, ALONE, OVER_TLS = "websocket", "alone", "over_tls"
# The load generator's share of one processor above which it, not the server, may have set the pace.
LOAD_BUSY_MAX = 0.95
# Publications sent per publication asked for, below which the rate was not kept.
RATE_KEPT_MIN = 0.97
# Deliveries per read above which publications were joined that were meant to be sent one by one.
JOINED_MAX = 1.1
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h
_PROC = Path("/proc")


class Cpu(NamedTuple):
    """CPU seconds of a server: its own processes, and those it leans on (NATS) beside them."""

    own: float
    beside: float = 0.0

    def since(self, earlier: "Cpu") -> "Cpu":
        """What was used from then to now."""
        return Cpu(self.own - earlier.own, self.beside - earlier.beside)


def cpu_of(pids: Iterable[int]) -> float:
    """CPU seconds that these processes and their living descendants have used, user and system together.

    Threads that have ended are included (clock_getcpuclockid(3)); /proc/PID/stat counts in hundredths of a
    second, which is too coarse for rounds of a few seconds.

    Raises:
        ProcessLookupError: one of them is gone.
    """
    total = 0.0
    for pid in pids:
        try:
            total += time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
        except OSError as error:
            raise ProcessLookupError(f"process {pid} has ended while it was measured") from error
        total += cpu_of(children(pid))
    return total


def children(pid: int) -> list[int]:
    """The processes that this one started and that still run."""
    found: list[int] = []
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def memory_of(pid: int) -> int:
    """Bytes of memory that are this process's share (PSS), its children included."""
    text = (_PROC / str(pid) / "smaps_rollup").read_text()
    kilobytes = next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))
    return int(kilobytes) * 1024 + sum(memory_of(child) for child in children(pid))


class Spread(NamedTuple):
    """Several rounds of one figure."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The spread of at least one value."""
        return cls(min(values), statistics.median(values), max(values))


@dataclass(slots=True)
class Round:
    """One round with one server.

    Attributes:
        server: its name.
        units: how many things the CPU time is divided by: deliveries, connections, publications.
        cpu: what the server used for them.
        wall_s: how long they took.
        load_cpu_s: what the busiest process of the load generator used meanwhile.
        expected: how many deliveries (or answers) there should have been.
        came: how many there were.
        uneven: clients that had too few of them, or too many.
        wanted_rate, sent_rate: publications per second, 0 where none was asked for.
        reads: in how many reads the deliveries came, 0 if that was not counted.
        outstanding_s: how long deliveries were under way, that is, the load generator had something to do.
        joins: publications may come joined; elsewhere that means that the server had fallen behind.
        samples: latencies, seconds, if the round took them.
    """

    server: str
    units: int
    cpu: Cpu
    wall_s: float
    load_cpu_s: float = 0.0
    expected: int = 0
    came: int = 0
    wanted_rate: float = 0.0
    sent_rate: float = 0.0
    reads: int = 0
    outstanding_s: float = 0.0
    joins: bool = False
    uneven: int = 0
    samples: list[float] = field(default_factory=list)

    @property
    def cpu_us(self) -> float:
        """CPU per unit, microseconds."""
        return self.cpu.own / self.units * 1e6

    @property
    def doubts(self) -> list[str]:
        """Why this round's figures are not what they seem."""
        found = []
        if self.came != self.expected:
            found.append(f"invalid: {self.came:,} of {self.expected:,} deliveries came")
        elif self.uneven:
            found.append(f"invalid: {self.uneven:,} clients had too few deliveries, or too many")
        if self.load_cpu_s > LOAD_BUSY_MAX * min(self.wall_s, self.outstanding_s or self.wall_s):
            found.append(
                "the load generator was the bottleneck: it used all of its processor while it had to"
            )
        if self.sent_rate < RATE_KEPT_MIN * self.wanted_rate:
            found.append(
                f"the load generator or the server did not keep the rate: {self.sent_rate:,.0f} of "
                f"{self.wanted_rate:,.0f} publications/s"
            )
        if self.reads and not self.joins and self.came > JOINED_MAX * self.reads:
            found.append(
                "the machine was too busy: publications piled up, "
                f"{self.came / self.reads:.2f} deliveries a read"
            )
        return found

    @property
    def valid(self) -> bool:
        """Whether everything that was sent also came, to each client once."""
        return self.came == self.expected and not self.uneven


def by_server(rounds: Iterable[Round]) -> dict[str, list[Round]]:
    """The rounds of each server, in the order they were measured."""
    found: dict[str, list[Round]] = {}
    for each in rounds:
        found.setdefault(each.server, []).append(each)
    return found


def ratios(figures: Sequence[float], others: Sequence[float]) -> Spread | None:
    """How two servers compare, round by round, so that a change of the machine's speed cancels out.

    Args:
        figures: ours, a figure per round.
        others: those of the rounds next to them; none at all if that server could not be had.
    """
    pairs = [ours / theirs for ours, theirs in zip(figures, others, strict=False) if theirs]
    return Spread.of(pairs) if pairs else None
