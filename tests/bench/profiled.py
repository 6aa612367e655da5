"""A small sampling profiler: `python -m tests.bench.profiled FOLDER node ...` is `broadcast node ...` in it.

Every few milliseconds of CPU time (user and system) the kernel sends SIGPROF; the handler notes which
functions the main thread is in. That costs a node one or two percent, where a tracing profiler doubles the
price of every call and so shows another program. Time in C functions and system calls is that of the
Python function that called them. What a process is in while it imports is left out. Stacks are written as
text, one a line, `outermost;...;innermost COUNT`, which flame graph programs read.
"""

import collections
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import CodeType, FrameType, TracebackType

# The kernel's own tick is as coarse on many machines: asking for more gives no more.
INTERVAL_S = 0.004
_IMPORTING = "<frozen importlib._bootstrap>"
_ROOT = str(Path(__file__).resolve().parents[2]) + os.sep
_SHOWN = 20


class Sampler(AbstractContextManager["Sampler"]):
    """Samples this process's main thread until the context is left, then writes FOLDER/PID.

    Args:
        folder: where to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stacks: Counter[tuple[CodeType, ...]] = collections.Counter()

    def __enter__(self) -> "Sampler":
        signal.signal(signal.SIGPROF, self._take)
        signal.siginterrupt(signal.SIGPROF, False)  # system calls go on
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        lines = Counter[str]()
        for stack, count in self._stacks.items():
            if not any(code.co_filename == _IMPORTING for code in stack):
                lines[";".join(_name(code) for code in reversed(stack))] += count
        text = "".join(f"{stack} {count}\n" for stack, count in lines.items())
        (self._folder / str(os.getpid())).write_text(text)

    def _take(self, _: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        self._stacks[tuple(stack)] += 1


def _name(code: CodeType) -> str:
    """FILE:FUNCTION, the file from the project's root or its package on, without what separates stacks."""
    file = code.co_filename.removeprefix(_ROOT).split("site-packages" + os.sep)[-1]
    if file.startswith(os.sep):
        file = os.path.basename(file)  # noqa: PTH119 - a name, not a file to open
    return f"{file}:{code.co_qualname}".replace(";", ",").replace(" ", "_")


def merged(files: Iterable[Path]) -> Counter[str]:
    """The stacks of several processes together."""
    stacks = Counter[str]()
    for file in files:
        for line in file.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            stacks[stack] += int(count)
    return stacks


def table(stacks: Counter[str]) -> list[str]:
    """The functions that most samples were in: themselves, and with all that they call."""
    own, whole = Counter[str](), Counter[str]()
    for stack, count in stacks.items():
        names = stack.split(";")
        own[names[-1]] += count
        for name in set(names):
            whole[name] += count
    total = stacks.total()
    lines = [f"{total:,} samples, one per {INTERVAL_S * 1e3:g} ms of CPU time", "  self  with calls"]
    for name, count in own.most_common(_SHOWN):
        lines.append(f"{count / total:6.1%}  {whole[name] / total:6.1%}  {name}")
    return lines


if __name__ == "__main__":
    from deploy.cli import main

    with Sampler(Path(sys.argv[1])):
        status = main(sys.argv[2:])
    sys.exit(status)
