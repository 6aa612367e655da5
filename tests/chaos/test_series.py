"""Series and gaps: what the plots draw is what happened."""

import pytest

from chaos.series import gaps, series
from tests.chaos.histories import Story, good


def test_each_moment_has_its_counts() -> None:
    """Deliveries where they came, publications where they ended, sessions where they changed."""
    story = good().wait(1.0).published("d").delivered("c1", "d").delivered("c2", "d")
    story.published("e", outcome="fail").wait(1.5).closed("c1")
    found = series(story.recorded())
    assert found.step_s == 1
    assert found.deliveries_per_s == [6.0, 2.0, 0.0]
    assert found.publications_per_s == [3.0, 1.0, 0.0]
    assert found.not_accepted_per_s == [0.0, 1.0, 0.0]
    assert found.connected_per_s == [2.0, 0.0, 0.0]
    assert found.closed_per_s == [0.0, 0.0, 1.0]
    assert found.lag_max_s[1] == pytest.approx(0.03, abs=1e-3)
    assert found.lag_p50_s[2] is None


def test_a_long_run_gets_longer_moments() -> None:
    """A night is drawn with as many points as ten minutes."""
    found = series(good().wait(5000.0).published("d").recorded())
    assert found.step_s == 9
    assert found.deliveries_per_s[0] == pytest.approx(6 / 9)
    assert len(found.away) <= 600


def test_clients_are_away_until_they_are_welcomed_again() -> None:
    """Failed attempts in between change nothing, and the end of the run is nobody's loss."""
    story = good().closed("c1").wait(1.0).closed("c1").wait(1.0).connected("c1")
    story.phase("idle").closed("c1", -1).closed("c2", -1).wait(5.0)
    recorded = story.published("late").recorded()
    (gap,) = gaps(recorded)
    assert (gap.client, gap.kind, gap.ended - gap.began) == ("c1", "away", pytest.approx(2.03, abs=0.02))
    assert series(recorded).away[:4] == [1.0, 1.0, 0.0, 0.0]


def test_waits_that_overlap_are_one() -> None:
    """A hundred publications on their way together are one wait."""
    story = Story().subscribed("c1").published("a", "b").wait(2.0).delivered("c1", "a", "b")
    story.published("c").wait(1.5).delivered("c1", "c").published("d").delivered("c1", "d")
    found = gaps(story.recorded())
    assert [(gap.client, gap.kind, round(gap.ended - gap.began)) for gap in found] == [("c1", "waiting", 4)]


def test_only_the_worst_clients_are_shown() -> None:
    """Three thousand rows help nobody; a client that is shown is shown whole."""
    story = Story()
    for number in range(40):
        story.connected(f"c{number}").closed(f"c{number}").wait(0.1 * number).connected(f"c{number}")
    found = gaps(story.recorded())
    assert len({gap.client for gap in found}) == 30
    assert found[0].client == "c39"
