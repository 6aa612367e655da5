"""What can be said for sure from outside of processes that share a busy machine; no test lives here."""

import re
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from node.token_bucket import BURST_S
from tests.integration.cluster import NodeProcess

ARRIVED = re.compile(r"^broadcast_connections_opened_total\{[^}]*\} (\S+)$", re.MULTILINE)
SENT_AWAY = re.compile(r"^broadcast_sent_away_total(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
# Of all time: the most that a process waits for a processor, and is at work, on a machine that keeps up.
_WAITED_MAX, _WORKED_MAX = 0.2, 0.75


@dataclass
class Counter:
    """A counter of a node, read again and again: what it said, and between which moments it said so.

    Args:
        node: the node.
        pattern: matches the counter's values in its metrics.
    """

    node: NodeProcess
    pattern: re.Pattern[str]
    readings: list[tuple[float, float, int]] = field(default_factory=list)

    def read(self) -> None:
        asked_at = time.monotonic()
        with urllib.request.urlopen(f"{self.node.http}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        count = sum(int(float(value)) for value in self.pattern.findall(text))
        self.readings.append((asked_at, time.monotonic(), count))

    def assert_at_most(self, rate: float) -> None:
        """In no window of w seconds it grew by more than rate x w and the burst of a token bucket.

        It was not read before it was asked for, nor after it was answered. A window that goes from the
        first of these to the last is at least as long as the true one, however slow the machine is.
        """
        excess, window_s, growth = max(
            (after - before - rate * (until - since), until - since, after - before)
            for index, (since, _, before) in enumerate(self.readings)
            for _, until, after in self.readings[index + 1 :]
        )
        assert self.readings[-1][2] > self.readings[0][2], f"{self.node.name}: nothing was counted"
        assert excess <= max(1, rate * BURST_S), (
            f"{self.node.name}: {growth} in {window_s:.2f} s, at {rate:g} per second"
        )


class Machine:
    """Whether some processes had the processor when they needed it, from now on.

    The kernel counts for each process how long it ran, and how long it could have run and did not.

    Args:
        pids: of the processes; what counts is their first thread.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._began_at = time.monotonic()
        self._began = {pid: _schedule(pid) for pid in pids}

    def shares(self) -> tuple[float, float]:
        """The most of the time that one of them waited for a processor, and the most that one ran."""
        elapsed_s = time.monotonic() - self._began_at
        now = {pid: _schedule(pid) for pid in self._began}
        ran, waited = ([now[pid][n] - self._began[pid][n] for pid in now] for n in (0, 1))
        return max(waited) / elapsed_s, max(ran) / elapsed_s

    def keeps_up(self) -> bool:
        """Whether what the processes did late is their own fault."""
        waited, worked = self.shares()
        return waited <= _WAITED_MAX and worked <= _WORKED_MAX


def _schedule(pid: int) -> tuple[float, float]:
    """Seconds that a process ran, and that it waited to run (Linux, sched-stats.rst)."""
    ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9
