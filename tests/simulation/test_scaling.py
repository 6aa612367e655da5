"""The drain times in SCALING.md, from the coordinator's own plans."""

from pathlib import Path

import pytest

from coordinator.drain_plan import Refusal
from protos.coordinator_pb2 import DrainRequest
from tests.simulation.fleet import Fleet
from tests.simulation.node import SimNode
from tests.simulation.test_drains import check_receivers, ended

PAGE = Path(__file__).parents[2] / "SCALING.md"
EACH, RATE = 15_000, 200.0


def fleet(full: int, empty: int) -> Fleet:
    nodes = [SimNode(f"full-{n:03}", 20_000, EACH, connect_rate_max=RATE) for n in range(full)]
    nodes += [SimNode(f"empty-{n:03}", 20_000, 0, connect_rate_max=RATE) for n in range(empty)]
    made = Fleet(nodes)
    made.run(3)
    return made


def empty_them(made: Fleet, leaving: int, deadline_s: float) -> float:
    """Drain the first nodes; returns how long it took."""
    names = [node.name for node in made.nodes[:leaving]]
    plan = made.drain(DrainRequest(nodes=names, deadline_s=deadline_s, stop=True))
    assert not isinstance(plan, Refusal), plan.words
    began = made.now
    made.run(deadline_s, until=lambda: ended(made))
    assert not any(node.connections for node in made.nodes[:leaving])
    check_receivers(made)
    return made.now - began


@pytest.mark.parametrize(
    ("full", "empty", "leaving", "row"),
    [(67, 0, 1, "| 1 of 67 nodes |"), (134, 0, 7, "| 7 of 134 nodes |"), (67, 67, 67, "| all 67, replaced")],
)
def test_drains_take_as_long_as_the_page_says(full: int, empty: int, leaving: int, row: str) -> None:
    """What is written there is what the plans give, and receivers are never given more than they take."""
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith(row))
    said = float(line.rstrip("| ").rpartition("| ")[2].removesuffix(" s *s*"))
    assert empty_them(fleet(full, empty), leaving, 300) == pytest.approx(said, abs=1)


def test_a_rollout_that_does_not_fit_is_refused_with_the_time_of_the_page() -> None:
    """137 s for 15,000 clients per node at 200 new sessions a second, at any size."""
    made = fleet(20, 20)
    names = [node.name for node in made.nodes[:20]]
    refusal = made.drain(DrainRequest(nodes=names, deadline_s=60, stop=True))
    assert isinstance(refusal, Refusal)
    assert "at least 137 s" in refusal.words
    assert "= 137 s" in PAGE.read_text()
