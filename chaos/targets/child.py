"""Processes of a run: started, waited for, and none left behind. What a process of others is made of.

The kernel ends a child when the process that started it ends (PR_SET_PDEATHSIG), so nothing stays behind
even if a run is killed; on systems without that call, only then.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import trio

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Program(NamedTuple):
    """What a process was started as.

    Attributes:
        arguments: the program first.
        directory: where it runs.
        environment: what it was given.
    """

    arguments: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]

    def with_option(self, name: str, value: str) -> "Program":
        """The same with another value for an option, which is added if it was not given."""
        arguments = list(self.arguments)
        if name in arguments:
            arguments[arguments.index(name) + 1] = value
        else:
            arguments += [name, value]
        return self._replace(arguments=tuple(arguments))

    def option(self, name: str) -> str:
        """The value of an option, "" if it was not given."""
        if name not in self.arguments:
            return ""
        return self.arguments[self.arguments.index(name) + 1]


def program_of(pid: int) -> Program:
    """What a running process was started as; proc(5).

    Raises:
        OSError: there is no such process, or it is not ours to look at.
    """
    process = Path("/proc", str(pid))
    arguments = process.joinpath("cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    environment = {}
    for entry in process.joinpath("environ").read_bytes().split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals:
            environment[os.fsdecode(name)] = os.fsdecode(value)
    directory = str(process.joinpath("cwd").readlink())
    return Program(tuple(os.fsdecode(argument) for argument in arguments), directory, environment)


class Child:
    """A process of ours, in a process group of its own so that Ctrl-C reaches only us.

    Args:
        program: what to start.
        log: file that what it writes is added to.
        pass_fds: descriptors it inherits.

    Raises:
        OSError: the program cannot be started.
    """

    def __init__(self, program: Program, log: Path, pass_fds: Sequence[int] = ()) -> None:
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - commands are composed here, never by a user
                program.arguments,
                cwd=program.directory,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=pass_fds,
                process_group=0,
                preexec_fn=dying_with(os.getpid()),  # noqa: PLW1509 - two system calls, no allocation
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def kill(self) -> None:
        """End it now, with all of its group; blocks for the moment that takes the kernel."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()

    async def stop(self, patience_s: float) -> None:
        """Ask it to end, and end it if it does not within so many seconds."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)
            self._popen.terminate()
            with trio.move_on_after(patience_s):
                await gone(self.pid)
        self.kill()


async def gone(pid: int) -> None:
    """Wait until a process has ended, whoever's child it is; returns at once if there is none."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its parent to notice; proc(5)."""
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    # Z until the parent asks, X while it is being told.
    return state in "ZXx"


def dying_with(parent: int) -> Callable[[], None] | None:
    """What a child runs before its program, so that the kernel ends it when `parent` ends."""
    if _prctl is None:
        return None

    def ask_kernel() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the call: then the signal will never come.
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel
