"""What the benchmarks write into documents: between the two lines, and nowhere else."""

from pathlib import Path

import pytest

from tests.bench.documents import DOCUMENTS, FIGURES, PlaceError, filled, texts, write
from tests.bench.measure import FLOOR, GO, NODE, WEBSOCKET, Cpu, Round, Spread
from tests.bench.table import Bound, Row, delay_row

ABOUT = {"date": "2026-01-02", "processors": "2 x CPU", "system": "Linux 6", "python": "3.11.1"}
DOCUMENT = "before\n<!-- bench:begin short -->\nold\n<!-- bench:end -->\nafter\n"


def a_run() -> list[Row]:
    samples = [each / 1e4 for each in range(1, 100)]
    rounds = [Round(NODE, 99, Cpu(0.0), 1.0, expected=99, came=99, samples=samples)]
    drawn = delay_row("latency plain, p99", rounds, Bound(limit=5))
    drawn.draws_delays = True
    three = Spread(1, 2, 3)
    return [
        Row("fanout websocket", "us", {NODE: three, FLOOR: three}, {FLOOR: three}),
        Row("low rate fanout sse", "us", {NODE: three, "hypercorn": three}),
        Row("transports gRPC Subscribe", "us", {NODE: three, WEBSOCKET: three}, {WEBSOCKET: three}),
        Row("connect", "us", {NODE: three, GO: three}, {GO: three}, doubts=["a busy machine"]),
        Row("publish plain", "us", {NODE: three, "hypercorn": three}, {"hypercorn": three}),
        drawn,
    ]


def test_only_what_is_between_the_lines_changes() -> None:
    """What people wrote around the figures stays, and filling again gives the same."""
    once = filled(DOCUMENT, {"short": "new"})
    assert once == DOCUMENT.replace("old", "new")
    assert filled(once, {"short": "new"}) == once


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("no place", "it needs lines"),
        (DOCUMENT.replace("<!-- bench:end -->", ""), "it needs lines"),
        (DOCUMENT + "<!-- bench:begin full -->\n", "it needs lines"),
        (DOCUMENT.replace("short", "long"), "a place `long`; there are short"),
    ],
)
def test_a_document_without_its_places_is_refused(document: str, words: str) -> None:
    """A marker that somebody removed or misspelt does not make figures disappear quietly."""
    with pytest.raises(PlaceError, match=words):
        filled(document, {"short": "new"})


def test_a_run_is_written_with_machine_date_pictures_and_doubts(tmp_path: Path) -> None:
    """A document shows figures, what they were measured on, and every picture that it names is there."""
    for name in DOCUMENTS:
        (tmp_path / name).write_text(DOCUMENT + DOCUMENT.replace("short", "full"))
    write(a_run(), ABOUT, {GO: "there is no `go` on the PATH"}, tmp_path)
    text = (tmp_path / DOCUMENTS[0]).read_text()
    assert "2026-01-02, 2 x CPU, Linux 6, Python 3.11.1" in text
    assert "| connect | us | 2 | - | 2 |" in text
    assert "| publish plain | hypercorn | us | 2 (1 to 3) | 2 (1 to 3) |" in text
    assert "- connect: a busy machine" in text
    assert "- Go peer: left out (there is no `go` on the PATH)" in text
    named = {line.split("(")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")}
    assert {str(path.relative_to(tmp_path)) for path in (tmp_path / FIGURES).iterdir()} == named


def test_nothing_is_written_if_one_document_has_no_place(tmp_path: Path) -> None:
    """Documents are of one run, or stay as they are."""
    (tmp_path / DOCUMENTS[0]).write_text(DOCUMENT)
    (tmp_path / DOCUMENTS[1]).write_text("no place")
    with pytest.raises(PlaceError, match=DOCUMENTS[1]):
        write(a_run(), ABOUT, {}, tmp_path)
    assert (tmp_path / DOCUMENTS[0]).read_text() == DOCUMENT
    assert not (tmp_path / FIGURES).exists()


def test_the_projects_documents_have_their_places() -> None:
    """The next run finds where to write."""
    root = Path(__file__).parents[2]
    for name in DOCUMENTS:
        filled((root / name).read_text(), texts(a_run(), ABOUT, {}))
