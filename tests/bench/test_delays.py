"""The benchmarks' percentiles and histograms: of all samples, each sample in one bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.delays import LIMITS_MS, delays_of, histogram, percentile


@pytest.mark.parametrize(("percent", "expected"), [(50, 5), (90, 9), (99, 10), (100, 10), (0.1, 1)])
def test_percentiles_are_samples(percent: float, expected: float) -> None:
    """The nearest rank: a percentile is one of the samples, never a mixture."""
    assert percentile(list(range(1, 11)), percent) == expected


@given(st.lists(st.floats(1e-6, 1e3), min_size=1))
def test_each_sample_is_in_one_bucket(samples: list[float]) -> None:
    """However long something took, it is counted once, and the buckets between are there even if empty."""
    delays = delays_of(samples)
    assert delays is not None
    assert sum(count for _, count in delays.buckets) == delays.count == len(samples)
    limits = [limit for limit, _ in delays.buckets]
    assert limits == sorted(limits)
    assert delays.longest <= limits[-1]
    first = LIMITS_MS.index(limits[0]) if limits[0] in LIMITS_MS else len(LIMITS_MS)
    assert tuple(limits[:-1]) == LIMITS_MS[first : first + len(limits) - 1]


def test_a_sample_on_a_limit_belongs_below_it() -> None:
    """`<= 1 ms` says what it says."""
    delays = delays_of([0.001, 0.0011, 0.003])
    assert delays is not None
    assert delays.buckets == [(1.0, 1), (1.5, 1), (2.0, 0), (3.0, 1)]
    assert delays.percentiles == pytest.approx({"p50": 1.1, "p99": 3.0, "p99.9": 3.0})


def test_the_longest_bar_is_the_fullest_bucket() -> None:
    """Bars compare; a bucket with a single sample is still seen, an empty one has no bar."""
    delays = delays_of([0.001] * 1000 + [0.002])
    assert delays is not None
    first, empty, last = histogram(delays)
    assert first == f"<=     1 ms  1,000  {'#' * 40}"
    assert empty == "<=   1.5 ms      0"
    assert last == "<=     2 ms      1  #"


def test_of_nothing_nothing_is_said() -> None:
    """A round without samples has no percentiles."""
    assert delays_of([]) is None
