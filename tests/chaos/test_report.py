"""The report: whole without the network, and nothing in it is markup by chance."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chaos.checkers.judge import judge
from chaos.history import FaultChanged, Note, Run
from chaos.recorded import Recorded
from chaos.report import render, summarise, write_report
from tests.chaos.histories import BOUNDS, ZERO, Story, ended, good


def _bad() -> Recorded:
    story = (
        Story().client("c1").connected("c1").subscribed("c1").fault("node-kill <1>").published("a", "b", "c")
    )
    story.delivered("c1", "a", "c").healed("node-kill <1>").phase("final")
    story.tell(FaultChanged(story.t, "disk-full", "skipped", "no quota <here>"))
    story.tell(Note(story.t, "a & b"))
    story.records[0] = Run(ZERO, "node-crash", 7, "broadcast chaos run node-crash --seed 7", "today")
    return story.final("c1", "c").recorded()


def test_both_files_are_written(tmp_path: Path) -> None:
    """One for people, whose path is told, one for programs."""
    recorded = _bad()
    page = write_report(tmp_path, recorded, judge(recorded, BOUNDS))
    assert page == tmp_path / "report.html"
    found = json.loads((tmp_path / "report.json").read_bytes())
    assert (found["experiment"], found["seed"], found["state"]) == ("node-crash", 7, "invalid")
    verdicts = {verdict["name"]: verdict for verdict in found["verdicts"]}
    assert verdicts["lost"]["evidence"][0]["id"] == "b"
    assert found["faults"][0]["name"] == "node-kill <1>"
    assert found["counts"]["deliveries"] == 2


class _Whole(HTMLParser):
    """Fails on markup that is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("recorded", [_bad(), ended(good()), Story().recorded(), Recorded.of([])])
def test_the_page_is_whole(recorded: Recorded) -> None:
    """After a bad run, a good one, one in which nothing happened, and none at all."""
    page = render(summarise(recorded, judge(recorded, BOUNDS)))
    parser = _Whole()
    parser.feed(page)
    parser.close()
    assert parser.open == []


def test_the_page_says_what_a_reader_needs() -> None:
    """The verdict, the evidence, what was not done, and how to run it again."""
    page = render(summarise(_bad(), judge(_bad(), BOUNDS)))
    for said in (
        "✗ invalid",
        "broadcast chaos run node-crash --seed 7",
        "accepted, never delivered (middle)",
        "disk-full: no quota &lt;here&gt;",
        "a &amp; b",
        "node-kill &lt;1&gt;",
    ):
        assert said in page
    assert "<1>" not in page


def test_the_page_loads_nothing() -> None:
    """It can be mailed, kept and opened anywhere, in light and in dark."""
    page = render(summarise(_bad(), judge(_bad(), BOUNDS)))
    assert not re.search(r"<script|<link|src=|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
