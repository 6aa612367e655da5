"""Counting how late the loop is."""

from node.telemetry.loop_lag import BUCKETS_S, LoopLag


def test_measurements_fall_into_their_buckets() -> None:
    """Bounds are inclusive, as Prometheus' `le`; what is above all has a bucket too."""
    lag = LoopLag()
    for lag_s in (0.0, 0.001, 0.0011, 5.0, 60.0):
        lag.record(lag_s, now=0.0)
    assert [lag.counts[0], lag.counts[1], lag.counts[-2], lag.counts[-1]] == [2, 1, 1, 1]
    assert len(lag.counts) == len(BUCKETS_S) + 1
    assert lag.sum_s == 65.0021


def test_the_maximum_is_of_the_last_one_to_two_minutes() -> None:
    """A stall is seen by every scrape of the next minute, and forgotten afterwards."""
    lag = LoopLag()
    lag.record(3.0, now=1000.0)
    lag.record(0.1, now=1059.0)
    assert lag.max_s == 3.0
    lag.record(0.2, now=1061.0)
    assert lag.max_s == 3.0
    lag.record(0.1, now=1122.0)
    assert lag.max_s == 0.2
    lag.record(0.1, now=1183.0)
    assert lag.max_s == 0.1
