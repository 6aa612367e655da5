"""The profiler of the benchmarks: stacks of what used the processor, and of nothing else."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.bench.profiled import merged, table

BUSY = """
import sys, time
from pathlib import Path
from tests.bench.profiled import Sampler

def burn():
    until = time.process_time() + 0.5
    while time.process_time() < until:
        sum(range(100))

def caller():
    burn()

def idle():
    time.sleep(0.3)

with Sampler(Path(sys.argv[1])):
    caller()
    idle()
"""


def test_what_uses_the_processor_is_seen(tmp_path: Path) -> None:
    """Most samples are in the function that works, below the one that called it; waiting costs nothing."""
    subprocess.run([sys.executable, "-c", BUSY, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
    stacks = merged(tmp_path.iterdir())
    assert stacks["<string>:<module>;<string>:caller;<string>:burn"] > 0.8 * stacks.total()
    assert not any("idle" in stack for stack in stacks if stacks[stack] > 2)


def test_processes_are_put_together(tmp_path: Path) -> None:
    """The stacks of all nodes of a benchmark make one profile, itself and with calls apart."""
    (tmp_path / "1").write_text("a;b 3\na 1\n")
    (tmp_path / "2").write_text("a;b 4\n")
    stacks = merged(tmp_path.iterdir())
    assert stacks == Counter({"a;b": 7, "a": 1})
    assert [line.split() for line in table(stacks)[2:]] == [["87.5%", "87.5%", "b"], ["12.5%", "100.0%", "a"]]


def test_a_profile_of_nothing_says_so() -> None:
    """A benchmark without a node gives an empty table, not an error."""
    assert table(Counter())[0].startswith("0 samples")
