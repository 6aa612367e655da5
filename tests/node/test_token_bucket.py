"""Pacing: so many per second over any time, and never many at once."""

from hypothesis import given
from hypothesis import strategies as st

from node.token_bucket import BURST_S, TokenBucket

RATES = st.floats(0, 1000)
PAUSES = st.floats(0, 5)


@given(RATES, st.lists(st.tuples(PAUSES, RATES)))
def test_no_more_is_taken_than_came(rate: float, turns: list[tuple[float, float]]) -> None:
    """Over all changes of rate: at most what the rates of the time gave."""
    now, given, taken = 0.0, 0.0, 0
    bucket = TokenBucket(rate, now)
    for pause_s, then in turns:
        now += pause_s
        given += pause_s * bucket.rate
        count = bucket.available(now)
        assert count <= max(1.0, bucket.rate * BURST_S)
        assert bucket.take(count, now)
        taken += count
        bucket.change(then, now)
    assert taken <= given + 1e-6


def test_what_is_asked_of_an_empty_bucket_is_refused() -> None:
    """One is there at once where it begins full, and the next only when its time has come."""
    bucket = TokenBucket(2.0, 10.0, full=True)
    assert bucket.take(1, 10.0)
    assert not bucket.take(1, 10.4)
    assert bucket.take(1, 10.5)


def test_a_clock_that_goes_back_brings_nothing() -> None:
    """Time that has passed once is not counted again."""
    bucket = TokenBucket(1.0, 100.0)
    assert bucket.available(101.0) == 1
    assert bucket.take(1, 50.0)
    assert bucket.available(101.0) == 0
