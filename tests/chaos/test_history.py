"""The history of a run: what is written is read, in order, and a torn file is not taken for a whole one."""

import contextlib
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from chaos.history import (
    Client,
    Delivered,
    End,
    FaultChanged,
    Final,
    Note,
    Phase,
    Position,
    Published,
    Rebalance,
    Record,
    Run,
    Sample,
    Session,
    Subscribed,
    Unsubscribed,
)
from chaos.history_file import CutShortError, HistoryWriter, read

ONE_OF_EACH: list[Record] = [
    Run(1.0, "node-crash", 7, "broadcast chaos run node-crash --seed 7"),
    Phase(1.5, "load"),
    Client(2.0, "c1", "slow"),
    Published(3.0, "ok", "p1-1", "p1", "room:1", "node-1", 17, "e1"),
    Session(4.0, "c1", "websocket", "node-2", "closed", 3001, "shutdown"),
    Subscribed(5.0, "c1", "room:1", "e1", 17, Position("e1", 12), recovered=True),
    Unsubscribed(6.0, "c1", "room:1", 2500),
    Delivered(7.0, "c1", "room:1", "p1-1", 17),
    FaultChanged(8.0, "node-kill node-1", "inject", "SIGKILL", "node-1", 30.0),
    Rebalance(8.5, "begin", ("node-1", "node-2"), 40.0),
    Sample(9.0, "node-1", "node", 42, 100, 120, 50_000_000, 7, 500.0, 0.4, 0.001),
    Final(10.0, "c1", "room:1", "p1-1", caught_up=True),
    Note(11.0, "all is well"),
]


def test_every_kind_of_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What the workload saw is what the judge gets, whatever kind it is."""
    writer = HistoryWriter(tmp_path / "history")
    for record in ONE_OF_EACH:
        writer.write(record)
    writer.close(12.0)
    assert list(read(tmp_path / "history")) == ONE_OF_EACH
    assert {type(record) for record in ONE_OF_EACH} == set(get_args(Record)) - {End}


def test_a_record_is_on_disk_after_flush(tmp_path: Path) -> None:
    """The live view, and whoever looks after a crash, sees what was flushed."""
    writer = HistoryWriter(tmp_path / "history")
    writer.write(ONE_OF_EACH[0])
    writer.flush()
    assert (tmp_path / "history").read_bytes().count(b"\n") == 1
    writer.abandon()


def test_many_records_do_not_wait_in_memory(tmp_path: Path) -> None:
    """A workload that forgets to flush keeps a bounded number of records."""
    writer = HistoryWriter(tmp_path / "history")
    for number in range(10_000):
        writer.write(Note(float(number), "x"))
    assert len(writer._waiting) < 4096
    writer.abandon()


@pytest.mark.parametrize("torn", [b"", b'["note",3.0,"ha'], ids=["no end", "half a line"])
def test_a_file_without_an_end_says_so_after_its_last_record(tmp_path: Path, torn: bytes) -> None:
    """What a dead process wrote is used, and nobody believes that it was all."""
    path = tmp_path / "history"
    path.write_bytes(b'["note",1.0,"a"]\n' + torn)
    records = read(path)
    assert next(records) == Note(1.0, "a")
    with pytest.raises(CutShortError, match="history has no end"):
        next(records)


def test_leaving_by_an_error_leaves_no_end(tmp_path: Path) -> None:
    """A workload that fails does not pass its file off as complete."""
    with contextlib.suppress(RuntimeError), HistoryWriter(tmp_path / "history") as writer:
        writer.write(Note(1.0, "a"))
        raise RuntimeError
    with pytest.raises(CutShortError):
        list(read(tmp_path / "history"))


def test_a_run_never_appends_to_another(tmp_path: Path) -> None:
    """Two runs in one file would be judged as one."""
    HistoryWriter(tmp_path / "history").close(1.0)
    with pytest.raises(FileExistsError):
        HistoryWriter(tmp_path / "history")


def test_a_line_that_is_no_record_is_an_error(tmp_path: Path) -> None:
    """Something unknown is not skipped: it could have been a loss."""
    (tmp_path / "history").write_bytes(b'["surprise",1.0]\n')
    with pytest.raises(msgspec.DecodeError):
        list(read(tmp_path / "history"))
