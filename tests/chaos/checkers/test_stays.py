"""Stays: where clients were, and how many went at once."""

from math import inf

from chaos.checkers.stays import most_within, stays_of
from tests.chaos.histories import Story


def test_a_stay_lasts_from_the_welcome_to_the_end() -> None:
    """Attempts that came to nothing are none, and who never left is still there."""
    story = Story().closed("c1").connected("c1").closed("c1", 3001).closed("c1").connected("c1", "node-2")
    first, second = stays_of(story.recorded())
    assert (first.node, second.node) == ("node-1", "node-2")
    assert first.closed is not None
    assert first.closed.code == 3001
    assert first.began < first.ended < second.began < second.ended == inf


def test_the_most_within_a_window() -> None:
    """Wherever the window lies; its ends belong to it."""
    assert most_within(2.0, []) == (0, 0.0)
    assert most_within(2.0, [1.0, 4.0, 5.0, 6.0, 6.5]) == (3, 4.0)
