"""A child process of the local cluster: its output in lines, its end, and the promise that it dies with us.

No child may outlive `broadcast up`, not even when that is killed with SIGKILL and can do nothing. On Linux
the kernel keeps this promise (PR_SET_PDEATHSIG), for programs that know nothing of us (nats-server) as well
as for our own; a pipe that children watch would serve only our own. Other systems have no such call: there
a SIGKILL of `up` leaves its children behind, everything else still stops them.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence

import trio

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LINE_BYTES_MAX = 65_536
_LINES_KEPT = 20
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Child:
    """One running process in a process group of its own.

    A group of its own keeps the terminal's Ctrl-C from reaching it: it is stopped in order, by us.

    Args:
        name: what people call it.
        command: program and arguments.
        pass_fds: descriptors it inherits.

    Raises:
        OSError: the program cannot be started.

    Attributes:
        last_lines: the end of what it wrote.
        exited: set by `follow` when it has ended and all it wrote was read.
        exit_code: as `subprocess` gives it, negative for a signal; None while it runs.
    """

    def __init__(self, name: str, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self.exited = trio.Event()
        output, child_output = os.pipe()
        self._output = trio.lowlevel.FdStream(output)
        try:
            # Popen itself, not trio's: the signal is sent when the *thread* that forked ends, and trio
            # forks in a worker thread that ends when it is idle for ten seconds.
            self._popen = subprocess.Popen(  # noqa: S603 - commands are composed here, never by a user
                command,
                stdin=subprocess.DEVNULL,
                stdout=child_output,
                stderr=child_output,
                pass_fds=pass_fds,
                process_group=0,
                preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509 - two system calls, no allocation
            )
        finally:
            os.close(child_output)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs or before `follow` noticed."""
        return self._popen.returncode

    async def follow(self, show: Callable[[str], None]) -> None:
        """Hand every line it writes to `show` until it has ended; cancelling leaves it running."""
        splitter = LineSplitter()
        async with self._output:
            async for chunk in self._output:
                self._take(splitter.feed(chunk), show)
        self._take(splitter.end(), show)
        await trio.to_thread.run_sync(self._popen.wait, abandon_on_cancel=True)
        self.exited.set()

    def terminate(self) -> None:
        """Ask it to stop; nothing happens if it has ended."""
        self._popen.terminate()

    def kill(self) -> None:
        """End it now, with whatever it started in its group; blocks for the moment that takes the kernel."""
        if self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def _take(self, lines: Sequence[str], show: Callable[[str], None]) -> None:
        for line in lines:
            self.last_lines.append(line)
            show(line)


class LineSplitter:
    """Cuts a stream of bytes into lines; a line of more than 64 KiB comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes | bytearray) -> list[str]:
        """The lines that `chunk` completes, without their ends."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LINE_BYTES_MAX:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace") for line in whole]

    def end(self) -> list[str]:
        """What followed the last end of line, if anything did."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest else []


def describe_exit(code: int) -> str:
    """An exit code in words: `exit code 1`, `killed by SIGKILL`."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _dying_with(parent: int) -> Callable[[], None] | None:
    """What the child runs before its program, so that the kernel ends it when `parent` ends."""
    if _prctl is None:
        return None

    def ask_kernel() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the call: then the signal will never come.
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel
