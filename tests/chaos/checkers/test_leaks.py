"""Leaks: what a process does not give back is seen."""

import pytest

from chaos.checkers.leaks import check
from chaos.checkers.verdict import Bounds
from chaos.history import Sample
from tests.chaos.histories import BOUNDS, Story

MIB = 1024 * 1024


def _run(before: tuple[int, int, int], *after: tuple[int, int, int], pid: int = 1) -> Story:
    """A node's files, tasks and MiB before and after a busy time."""
    story = Story().phase("baseline")
    for phase, kept, process in (
        ("baseline", [before], 1),
        ("load", [(900, 900, 900)], 1),
        ("idle", after, pid),
    ):
        story.phase(phase)
        for files, tasks, mib in kept:
            story.wait(1.0)
            story.tell(
                Sample(story.t, "node-1", pid=process, files=files, tasks=tasks, memory_bytes=mib * MIB)
            )
    return story


def test_a_process_that_gives_all_back_is_valid() -> None:
    """Near enough to where it was, after a moment."""
    verdict = check(_run((10, 5, 50), (800, 5, 300), (11, 6, 70)).recorded(), BOUNDS)
    assert (verdict.state, verdict.measured["judged"]) == ("valid", 3.0)
    assert verdict.measured["files_more"] == 1.0


@pytest.mark.parametrize(
    ("after", "what"),
    [
        ((30, 5, 50), "files: 10 before, 30 after; 8 more are allowed"),
        ((10, 25, 50), "tasks: 5 before, 25 after; 8 more are allowed"),
        ((10, 5, 200), "memory_bytes: 52,428,800 before, 209,715,200 after; 67,108,864 more are allowed"),
    ],
)
def test_what_is_not_given_back_is_invalid(after: tuple[int, int, int], what: str) -> None:
    """Descriptors, tasks and memory, each by itself."""
    verdict = check(_run((10, 5, 50), after).recorded(), BOUNDS)
    assert [(case.node, case.what) for case in verdict.evidence] == [("node-1", what)]
    assert 0.0 < (verdict.evidence[0].t or 0.0) < 10.0
    assert verdict.state == "invalid"


def test_a_process_started_during_the_run_is_compared_with_its_kin() -> None:
    """It has no baseline of its own."""
    assert check(_run((10, 5, 50), (30, 5, 50), pid=2).recorded(), BOUNDS).state == "invalid"
    assert check(_run((10, 5, 50), (12, 5, 50), pid=2).recorded(), BOUNDS).state == "valid"


def test_no_sample_after_the_run_is_unknown() -> None:
    """Nobody looked whether it gave anything back."""
    verdict = check(_run((10, 5, 50)).recorded(), BOUNDS)
    assert verdict.state == "unknown"
    assert "files of node-1 were not sampled before and after" in verdict.summary


def test_brokers_and_the_harness_are_not_judged() -> None:
    """They keep what they store."""
    story = Story().phase("baseline")
    story.tell(Sample(story.t, "nats-1", "broker", files=1))
    story.phase("idle").tell(Sample(story.t, "nats-1", "broker", files=1000))
    assert check(story.recorded(), Bounds(requires=frozenset())).state == "valid"
