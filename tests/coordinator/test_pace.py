"""The shared budget, and whose arrivals are whose."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.capacity import Budget
from coordinator.pace import Drain, Pace, elapsed_s, natural, observed, shares
from tests.coordinator.reports import NOW, report

BUDGET = Budget(paced=100, pressed=120, most=200, receivers=10, room=10_000)


def arriving(rate: float) -> object:
    node = report("a")
    node.connect_rate = rate
    return node


def test_time_does_not_go_back() -> None:
    """A new leader begins without elapsed time, and no clock takes any away."""
    assert elapsed_s(Pace(), NOW) == 0
    assert elapsed_s(Pace(at=NOW), NOW + 0.5) == 0.5
    assert elapsed_s(Pace(at=NOW), NOW - 5) == 0


def follow(seconds: int, arrivals: float, sending: float, pace: Pace | None = None) -> Pace:
    pace = pace or Pace()
    start = pace.at or 0.0
    for second in range(1, seconds + 1):
        pace = observed(pace, [arriving(arrivals)], sending, start + second, 3.0)  # type: ignore[list-item]
    return pace


def test_what_plans_sent_is_not_natural() -> None:
    """In the long run the difference is what came by itself."""
    assert natural(follow(60, 50, 50))["a-1"] == pytest.approx(0)
    assert natural(follow(60, 70, 50))["a-1"] == pytest.approx(20)


def test_a_new_leader_takes_what_is_under_way_for_caused() -> None:
    """It begins in the middle: the plans say what they send, the reports what arrives."""
    assert natural(follow(1, 50, 50))["a-1"] == 0


def test_a_pace_that_falls_makes_no_natural_arrivals_of_those_under_way() -> None:
    """They still arrive for seconds: only what is left of the difference after smoothing is subtracted."""
    pace = follow(60, 100, 100)
    assert natural(follow(2, 100, 0, pace))["a-1"] < 15


def test_many_at_once_are_noticed_at_once() -> None:
    """A node nearby died: its clients are natural, and the plan gives way in the next step."""
    pace = follow(60, 50, 50)
    assert natural(follow(1, 500, 50, pace))["a-1"] > 400


def test_who_has_more_clients_and_less_time_gets_more() -> None:
    """Together they use the normal pace."""
    first, second, third = shares([Drain(600, 63), Drain(300, 63), Drain(300, 33)], BUDGET, 3.0)
    assert first == pytest.approx(2 * second)
    assert third == pytest.approx(first)
    assert first + second + third == pytest.approx(100)


def test_a_pressing_deadline_gets_more_than_the_normal_pace() -> None:
    """Up to the most and no further."""
    assert shares([Drain(4_000, 53)], BUDGET, 3.0) == [120]
    assert shares([Drain(9_000, 53)], BUDGET, 3.0) == [180]
    assert shares([Drain(90_000, 53)], BUDGET, 3.0) == [200]
    assert shares([Drain(0, 10)], BUDGET, 3.0) == [0]


def test_who_has_no_deadline_takes_what_the_others_leave() -> None:
    """The whole pace when alone, a share beside others, and nothing that these need; it never presses."""
    assert shares([Drain(90_000, math.inf)], BUDGET, 3.0) == [pytest.approx(100)]
    alike = shares([Drain(600, 60), Drain(600, math.inf)], BUDGET, 3.0)
    assert alike == [pytest.approx(50)] * 2
    hurried, other = shares([Drain(2_400, 63), Drain(90_000, math.inf)], BUDGET, 3.0)
    assert (hurried, other) == (pytest.approx(60), pytest.approx(40))
    assert shares([Drain(4_000, 53), Drain(90_000, math.inf)], BUDGET, 3.0) == [120, 0]


@given(
    st.lists(
        st.builds(Drain, st.integers(0, 100_000), st.floats(-100, 1000) | st.just(math.inf)),
    )
)
def test_all_drains_together_stay_within_the_budget(drains: list[Drain]) -> None:
    """However many there are and however late they are."""
    rates = shares(drains, BUDGET, 3.0)
    assert len(rates) == len(drains)
    assert all(rate >= 0 for rate in rates)
    assert sum(rates) <= BUDGET.most * 1.000001
