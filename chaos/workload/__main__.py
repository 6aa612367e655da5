"""A workload process: `python -m chaos.workload`, told on standard input what to do, a line of JSON each.

It ends with its standard input, so that none stays behind whatever becomes of the one who started it.
"""

import sys
from pathlib import Path

import msgspec
import trio

from chaos.history_file import HistoryWriter
from chaos.workload.load import Load
from chaos.workload.spec import Command, Spec

_STATUS_EVERY_S = 0.5
_READ_BYTES = 65_536
_command = msgspec.json.Decoder(Command)


async def serve() -> None:
    """Do what is told until standard input ends."""
    lines = _Lines(trio.lowlevel.FdStream(sys.stdin.fileno()))
    first = await lines.next()
    if first is None:
        return
    spec = msgspec.json.decode(first, type=Spec)
    with HistoryWriter(Path(spec.history)) as history:
        load = Load(spec, history)
        async with trio.open_nursery() as nursery:
            for task in (load.crowd.run, load.measure):
                nursery.start_soon(task)
            nursery.start_soon(_report, load, history)
            while (line := await lines.next()) is not None:
                command = _command.decode(line)
                await load.obey(command, nursery)
                if command.do == "leave":
                    break
            nursery.cancel_scope.cancel()
        if line is not None:
            _say(load)
            history.close(load.crowd.now())


async def _report(load: Load, history: HistoryWriter) -> None:
    while True:
        history.flush()
        _say(load)
        await trio.sleep(_STATUS_EVERY_S)


def _say(load: Load) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(load.status()) + b"\n")
    sys.stdout.buffer.flush()


class _Lines:
    """Lines of a stream, one at a time."""

    def __init__(self, stream: trio.lowlevel.FdStream) -> None:
        self._stream = stream
        self._received = b""

    async def next(self) -> bytes | None:
        """The next line without its end, None at the end of the stream."""
        while b"\n" not in self._received:
            data = await self._stream.receive_some(_READ_BYTES)
            if not data:
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line


if __name__ == "__main__":
    trio.run(serve)
