"""Harness: a judge that was too slow says so, and calls nothing valid or invalid."""

import pytest

from chaos.checkers.harness import check
from chaos.checkers.verdict import Bounds
from chaos.history import Sample
from tests.chaos.histories import BOUNDS, Story


def _samples(cpu: float, lag_s: float) -> Story:
    story = Story()
    for number in range(10):
        busy = number < 5
        story.wait(1.0).tell(
            Sample(
                story.t, "workload-1", "harness", cpu=cpu if busy else 0.1, loop_lag_s=lag_s if busy else 0.0
            )
        )
    return story


def test_a_quick_harness_is_valid() -> None:
    """With its figures."""
    verdict = check(_samples(0.6, 0.01).recorded(), BOUNDS)
    assert verdict.state == "valid"
    assert (verdict.measured["cpu_max"], verdict.measured["loop_lag_max_s"]) == (0.6, 0.01)


@pytest.mark.parametrize(
    ("cpu", "lag_s", "said"), [(0.99, 0.0, "had its core full"), (0.5, 2.0, "was itself late")]
)
def test_a_harness_that_was_the_bottleneck_is_unknown(cpu: float, lag_s: float, said: str) -> None:
    """What it saw late may have come in time."""
    verdict = check(_samples(cpu, lag_s).recorded(), BOUNDS)
    assert verdict.state == "unknown"
    assert f"workload-1 {said}" in verdict.summary


def test_it_is_never_invalid() -> None:
    """The harness is not what is judged: its worst says nothing against the cluster."""
    assert check(_samples(9.0, 99.0).recorded(), BOUNDS).state == "unknown"


def test_other_processes_may_be_busy() -> None:
    """A node with its core full is the cluster's affair."""
    story = Story()
    story.tell(Sample(story.t, "node-1", cpu=1.0))
    assert check(story.recorded(), Bounds(requires=frozenset())).state == "valid"
    assert check(story.recorded(), BOUNDS).state == "unknown"
