"""The arranged history: nothing is lost on the way from the files to the judge."""

from pathlib import Path

from chaos.history import Delivered, FaultChanged, Published, Record, Run, Session
from chaos.history_file import HistoryWriter
from chaos.recorded import Recorded, within
from tests.chaos.histories import ROOM, ZERO, Story, good


def _write(path: Path, records: list[Record], *, whole: bool = True) -> Path:
    writer = HistoryWriter(path)
    for record in records:
        writer.write(record)
    if whole:
        writer.close(0.0)
    else:
        writer.abandon()
    return path


def test_files_of_several_processes_are_one_history(tmp_path: Path) -> None:
    """A delivery may be read before its publication is: they meet by the id."""
    subscribers = _write(tmp_path / "a", [Delivered(11.0, "c1", ROOM, "x", 7)])
    publishers = _write(
        tmp_path / "b",
        [Published(10.0, "invoke", "x", "p", ROOM), Published(10.5, "ok", "x", "p", ROOM, "n", 7, "e1")],
    )
    runner = _write(tmp_path / "c", [Run(9.0, "test", 1)])
    recorded = Recorded.load([subscribers, publishers, runner])
    (publication,) = recorded.publications
    assert (publication.invoked, publication.ended, publication.outcome) == (10.0, 10.5, "ok")
    stream = recorded.streams["c1", ROOM]
    assert (list(stream.numbers), list(stream.times), list(stream.offsets)) == ([0], [11.0], [7])
    assert (recorded.zero, recorded.end, recorded.cut_short) == (9.0, 11.0, [])


def test_a_torn_file_is_used_and_named(tmp_path: Path) -> None:
    """What it holds counts; that it is not all is said."""
    torn = _write(tmp_path / "torn", [Delivered(11.0, "c1", ROOM, "x", 7)], whole=False)
    recorded = Recorded.load([torn])
    assert len(recorded.streams["c1", ROOM].times) == 1
    assert recorded.cut_short == ["torn has no end: the process that wrote it died or still writes"]


def test_marks_stand_between_the_deliveries_they_were_between() -> None:
    """What a client is owed depends on what it had when it was told something."""
    story = good().closed("c1").connected("c1").recovered("c1", "c").published("d").delivered("c1", "d")
    marks = story.recorded().streams["c1", ROOM].marks
    assert [(at, type(mark).__name__) for at, mark in marks] == [
        (0, "Subscribed"),
        (3, "Session"),
        (3, "Session"),
        (3, "Session"),
        (3, "Subscribed"),
    ]


def test_a_session_ends_every_subscription_of_its_client() -> None:
    """The break of a connection is a mark in each of its channels, and in no other client's."""
    story = Story().connected("c1").subscribed("c1").subscribed("c1", "plain:1").subscribed("c2").closed("c1")
    streams = story.recorded().streams
    ends = {
        place: len([mark for _, mark in stream.marks if isinstance(mark, Session)])
        for place, stream in streams.items()
    }
    assert ends == {("c1", ROOM): 1, ("c1", "plain:1"): 1, ("c2", ROOM): 0}


def test_a_client_is_where_it_was_last_welcomed() -> None:
    """Evidence names the node that should have delivered."""
    story = Story().connected("c1", "node-1")
    between = story.t
    recorded = story.closed("c1").connected("c1", "node-2").recorded()
    assert [recorded.node_of("c1", t) for t in (ZERO, between, story.t)] == ["", "node-1", "node-2"]
    assert recorded.node_of("nobody", story.t) == ""


def test_overlapping_faults_are_one_disturbance() -> None:
    """Effects of faults that were in force together cannot be told apart."""
    faults: list[Record] = [
        FaultChanged(1.0, "a", "inject"),
        FaultChanged(2.0, "b", "inject"),
        FaultChanged(3.0, "a", "heal"),
        FaultChanged(4.0, "b", "heal"),
        FaultChanged(9.0, "a", "inject"),
        FaultChanged(10.0, "slow", "inject", slow=True),
        FaultChanged(10.5, "impossible", "skipped"),
    ]
    recorded = Recorded.of(faults)
    assert [(each.began, each.ended, each.names) for each in recorded.disturbances()] == [
        (1.0, 4.0, ("a", "b")),
        (9.0, float("inf"), ("a",)),
    ]
    settled = recorded.disturbances(settle_s=2.0)
    assert [within(t, settled) for t in (0.9, 1.0, 6.0, 6.1, 99.0)] == [False, True, True, False, True]


def test_clients_that_nobody_announced_are_healthy() -> None:
    """A workload that forgets to say so is judged in full."""
    recorded = Story().subscribed("c1").client("bad", "hostile").subscribed("bad").recorded()
    assert [stream.client for stream in recorded.judged()] == ["c1"]
    assert [stream.client for stream in recorded.healthy()] == ["c1"]
