"""The workload processes of a run: started, told what to do, and heard."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from chaos.workload.spec import Command, Spec, Status

_status = msgspec.json.Decoder(Status)
_STOP_MAX_S = 10.0
_READ_BYTES = 65_536
_NOTHING = Status(0, 0, 0, 0, 0, 0, 0.0, 0.0, idle=True)


class WorkerLost(Exception):
    """A workload process ended by itself: what it saw afterwards is not known."""


class Worker:
    """One workload process. It ends with its standard input, at the latest with this process.

    Args:
        spec: what it is told.
        directory: of the run.

    Attributes:
        status: what it last said.
    """

    def __init__(self, spec: Spec, directory: Path) -> None:
        self._spec = spec
        self._log = directory / f"{spec.name}.log"
        self._process: trio.Process | None = None
        self._heard = trio.Event()
        self.status = _NOTHING

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Start it and listen until it ends; cancelling ends it.

        Raises:
            WorkerLost: it ended without having been told to.
        """
        command = [sys.executable, "-P", "-m", "chaos.workload"]
        with self._log.open("ab") as log:
            process = self._process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
            )
        try:
            await self._say(msgspec.json.encode(self._spec))
            task_status.started()
            await self._listen(process)
            if self.status.done != "leave":
                last = self._log.read_text()[-2000:]
                raise WorkerLost(f"{self._spec.name} ended with {process.returncode}:\n{last}")
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _STOP_MAX_S):
                if process.stdin is not None:
                    await process.stdin.aclose()
                await process.wait()
            if process.returncode is None:
                process.kill()

    async def tell(self, command: Command) -> None:
        """Give it a command."""
        await self._say(msgspec.json.encode(command))

    async def until(self, reached: Callable[[Status], bool], patience_s: float) -> bool:
        """Wait until it says something; whether it did in time."""
        with trio.move_on_after(patience_s):
            while not reached(self.status):
                await self._heard.wait()
            return True
        return False

    async def _say(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            try:
                await self._process.stdin.send_all(line + b"\n")
            except trio.BrokenResourceError:
                return  # `run` finds that it has ended, and says so

    async def _listen(self, process: trio.Process) -> None:
        received = b""
        if process.stdout is None:
            return
        async for data in process.stdout:
            *lines, received = (received + bytes(data)).split(b"\n")
            for line in lines:
                self.status = _status.decode(line)
                heard, self._heard = self._heard, trio.Event()
                heard.set()
        await process.wait()
