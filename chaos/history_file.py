"""One file of a history: one JSON line a record, append-only; what the records mean is `history`."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from chaos.history import End, Record

_BUFFERED_MAX = 4096
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class HistoryWriter:
    """Appends the records of one process to its file; a record costs about a microsecond.

    Records wait in memory until a few thousand are there: call `flush` every second or so, for the
    live view and so that little is missing if the process dies.
    """

    __slots__ = ("_file", "_waiting")

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("xb")
        self._waiting: list[Record] = []

    def write(self, record: Record) -> None:
        """Adds a record."""
        self._waiting.append(record)
        if len(self._waiting) >= _BUFFERED_MAX:
            self.flush()

    def flush(self) -> None:
        """Hands everything to the operating system.

        Raises:
            OSError: the disk would not take it.
        """
        if self._waiting:
            self._file.write(_encoder.encode_lines(self._waiting))
            self._waiting.clear()
        self._file.flush()

    def close(self, t: float) -> None:
        """Ends the history in order.

        Args:
            t: now, seconds of CLOCK_MONOTONIC.
        """
        self.write(End(t))
        self.abandon()

    def abandon(self) -> None:
        """Closes the file without the mark of a complete one: what should have followed is not known."""
        self.flush()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._file.closed:
            self.abandon()


class CutShortError(Exception):
    """A file of a history does not end with `End`: its writer died, or still writes."""


def read(path: Path) -> Iterator[Record]:
    """Every record of one file, in order, without the `End`.

    Raises:
        CutShortError: after the last whole record, if the file has no `End`.
        msgspec.DecodeError: a line is no record.
    """
    ended = False
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            record = _decoder.decode(line)
            if isinstance(record, End):
                ended = True
            else:
                yield record
    if not ended:
        raise CutShortError(f"{path.name} has no end: the process that wrote it died or still writes")
