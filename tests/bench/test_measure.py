"""The benchmarks' figures: what is counted, what is doubted, and that CPU time is really a process's."""

import os
import subprocess
import sys
import time

import pytest

from tests.bench import arena
from tests.bench.frames import Target
from tests.bench.measure import Cpu, Round, Spread, children, cpu_of, memory_of, ratios
from tests.bench.servers import Server
from tests.bench.subscribers import LoadError


def a_round(**changes: object) -> Round:
    given: dict[str, object] = {
        "server": "node",
        "units": 100,
        "cpu": Cpu(0.001),
        "wall_s": 1.0,
        "load_cpu_s": 0.5,
        "expected": 100,
        "came": 100,
        "wanted_rate": 60.0,
        "sent_rate": 60.0,
        "reads": 100,
    }
    return Round(**(given | changes))  # type: ignore[arg-type]


def test_a_clean_round_has_no_doubts_and_a_figure_per_unit() -> None:
    """CPU time is divided by what was done, in microseconds, and nothing is doubted without a reason."""
    clean = a_round()
    assert clean.doubts == []
    assert clean.valid
    assert clean.cpu_us == pytest.approx(10)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"came": 99}, "99 of 100 deliveries"),
        ({"came": 101}, "101 of 100 deliveries"),
        ({"uneven": 2}, "2 clients had too few deliveries, or too many"),
        ({"load_cpu_s": 0.99}, "bottleneck"),
        ({"load_cpu_s": 0.1, "outstanding_s": 0.1}, "bottleneck"),
        ({"sent_rate": 50.0}, "50 of 60 publications"),
        ({"reads": 50}, "piled up"),
    ],
)
def test_what_makes_a_figure_doubtful_is_said(changes: dict[str, object], word: str) -> None:
    """Missing or doubled deliveries, a busy load generator, a missed rate, joined publications: named."""
    (doubt,) = a_round(**changes).doubts
    assert word in doubt


def test_only_missing_and_doubled_deliveries_make_a_round_invalid() -> None:
    """A busy machine is a doubt; figures about what never came, or came twice, are no figures."""
    assert not a_round(came=99).valid
    assert not a_round(uneven=2).valid
    assert a_round(load_cpu_s=1.0).valid


def test_joined_publications_are_fine_where_they_are_what_is_measured() -> None:
    """A burst is meant to be joined."""
    assert a_round(reads=10, joins=True).doubts == []


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that halves its speed half-way does not change how two servers compare."""
    assert ratios([10.0, 20.0, 12.0], [5.0, 10.0, 6.0]) == Spread(2.0, 2.0, 2.0)
    assert ratios([10.0], []) is None


def test_cpu_time_is_that_of_the_process_and_its_children() -> None:
    """What a child of a measured process uses is measured too; a process that waits uses next to nothing."""
    burn = "import time\nwhile time.process_time() < 0.2: pass\nimport sys; sys.stdin.read()\n"
    parent = f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {burn!r}],"
    parent += " stdin=subprocess.PIPE)\nprint(child.pid, flush=True)\ninput()\nchild.stdin.close()\n"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert children(process.pid) == [child]
        deadline = time.monotonic() + 20
        while cpu_of([child]) < 0.2:
            assert time.monotonic() < deadline, "the child's time is not seen"
        assert cpu_of([process.pid]) > cpu_of([child])
        assert memory_of(process.pid) > memory_of(child) > 0
        process.communicate("\n")
    with pytest.raises(ProcessLookupError, match="ended while it was measured"):
        cpu_of([process.pid])


def test_a_server_that_does_not_come_to_rest_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it still does from before would be counted to what comes next."""
    monkeypatch.setattr(arena, "_QUIET_LOOKS", 2)
    busy = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(busy) as process:
        server = Server(Target("node", 1, "c", "/"), (process.pid,))
        with pytest.raises(LoadError, match="node is still at work"):
            arena.wait_until_quiet(server)
        process.kill()
    arena.wait_until_quiet(Server(Target("node", 1, "c", "/"), ()))


def test_our_own_clock_and_the_kernels_agree() -> None:
    """The clock of another process's CPU time is the one that a process reads of itself."""
    before = time.process_time()
    measured = cpu_of([os.getpid()]) - sum(cpu_of([child]) for child in children(os.getpid()))
    assert before <= measured <= time.process_time()
