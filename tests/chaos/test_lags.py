"""Lags: exact to a tenth of a millisecond, by the second of publishing."""

from collections import Counter

import pytest

from chaos.lags import lags, percentiles, quiet, together
from chaos.recorded import Disturbance
from tests.chaos.histories import Story


def test_lags_belong_to_the_second_in_which_was_published() -> None:
    """What a fault held up shows when it was held up, not when it came through."""
    story = (
        Story().subscribed("c1").wait(0.5).published("a").wait(2.0).published("b").delivered("c1", "a", "b")
    )
    recorded = story.recorded()
    found = lags(recorded, recorded.streams.values())
    assert sorted(found) == [0, 2]
    assert percentiles(found[0], 1.0) == [pytest.approx(2.04, abs=2e-4)]
    assert percentiles(found[2], 1.0) == [pytest.approx(0.03, abs=2e-4)]
    assert together(found, [0, 1, 2]).total() == 2


def test_what_nobody_published_has_no_lag() -> None:
    """It has a verdict of its own."""
    recorded = Story().subscribed("c1").delivered("c1", "ghost").recorded()
    assert lags(recorded, recorded.streams.values()) == {}


def test_percentiles_are_the_smallest_that_so_many_do_not_pass() -> None:
    """A hundred values from 1 to 100 tenths of a millisecond."""
    counts = Counter(range(1, 101))
    assert percentiles(counts, 0.0, 0.5, 0.99, 1.0) == [0.0001, 0.005, 0.0099, 0.01]
    assert percentiles(Counter(), 0.5, 1.0) == [0.0, 0.0]


def test_quiet_seconds_are_those_that_no_disturbance_touches() -> None:
    """Half a second of a fault makes the second a disturbed one."""
    recorded = Story().wait(20.0).client("c1").published("x").recorded()
    zero = recorded.zero
    found = {second: Counter([1]) for second in range(10)}
    disturbances = [
        Disturbance(zero + 2.5, zero + 3.1, ("a",)),
        Disturbance(zero + 8.0, float("inf"), ("b",)),
    ]
    assert quiet(found, recorded, disturbances) == [0, 1, 4, 5, 6, 7]
