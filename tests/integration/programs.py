"""Programs under test as a person sees them: started, read line by line, signalled. No test lives here."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
BROADCAST = (sys.executable, "-P", "-m", "deploy.cli")


class Program:
    """A running process whose standard output and error are collected line by line.

    Leaving the context kills it if it still runs.

    Args:
        command: program and arguments.
        environment: added to this process's.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self._more = threading.Condition()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=reading, daemon=True)
            for reading in ((self._process.stdout, self.out), (self._process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def expect(self, text: str, times: int = 1) -> str:
        """Wait until a line of its output or error contains `text`; returns that line.

        Args:
            text: what to look for.
            times: how many lines must contain it; the last of them is returned.
        """

        def found() -> list[str]:
            return [line for line in [*self.out, *self.err] if text in line]

        self._wait_until(lambda: len(found()) >= times, f"`{text}` was not said")
        return found()[times - 1]

    def expect_out(self, count: int) -> list[str]:
        """Wait until it has written `count` lines to standard output; returns them."""
        self._wait_until(lambda: len(self.out) >= count, f"{count} lines were not written")
        return self.out[:count]

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def close_input(self) -> None:
        """It reads the end of its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def send_signal(self, number: signal.Signals) -> None:
        """As `kill` does."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and for the last of its lines; returns its exit status."""
        status = self._process.wait(timeout=PATIENCE_S)
        for reader in self._readers:
            reader.join(timeout=PATIENCE_S)
        return status

    @property
    def told(self) -> str:
        """Everything it wrote."""
        return "\n".join([*self.out, *self.err])

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            with self._more:
                lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def _wait_until(self, is_so: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        with self._more:
            while not is_so():
                ended = not any(reader.is_alive() for reader in self._readers)
                left_s = deadline - time.monotonic()
                assert left_s > 0 and not ended, f"{otherwise}; it wrote:\n{self.told}"  # noqa: PT018 - one fact
                # A reader that ends is not yet dead when it tells: look again soon.
                self._more.wait(min(left_s, 0.2))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


def broadcast(*arguments: str, environment: dict[str, str] | None = None) -> Program:
    """A command of the command line, running."""
    return Program([*BROADCAST, *arguments], environment)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of the command line, run to its end."""
    return subprocess.run(
        [*BROADCAST, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
