"""How long deliveries took, put together from all samples: percentiles and a histogram. Pure."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PERCENTILES = (50.0, 99.0, 99.9)
# Six buckets for every factor of ten, about equally wide on a logarithmic scale.
_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
LIMITS_MS = tuple(round(step * 10.0**power, 3) for power in range(-2, 5) for step in _STEPS)
_BAR = 40


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest sample that so many percent of all samples do not exceed (nearest rank).

    Args:
        ordered: all samples of all rounds, ascending: percentiles of parts cannot be averaged.
        percent: above 0, up to 100.
    """
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True)
class Delays:
    """What is said of many samples, milliseconds.

    Attributes:
        count: of the samples.
        percentiles: by name: p50, p99, p99.9.
        longest: the largest sample.
        buckets: pairs of a limit and how many samples were above the limit before and not above this one;
            from the first bucket with a sample to the last one.
    """

    count: int
    percentiles: dict[str, float]
    longest: float
    buckets: list[tuple[float, int]]

    def __str__(self) -> str:
        named = ", ".join(f"{name} {ms:.2f}" for name, ms in self.percentiles.items())
        return f"{named} ms, longest {self.longest:.2f} ms of {self.count:,}"


def delays_of(samples_s: Iterable[float]) -> Delays | None:
    """All samples, seconds, in any order; None if there is none."""
    ordered = sorted(sample * 1e3 for sample in samples_s)
    if not ordered:
        return None
    counts = [0] * (len(LIMITS_MS) + 1)
    for sample in ordered:
        counts[bisect_left(LIMITS_MS, sample)] += 1
    used = [at for at, count in enumerate(counts) if count]
    limits = (*LIMITS_MS, math.ceil(ordered[-1]))
    return Delays(
        len(ordered),
        {f"p{percent:g}": percentile(ordered, percent) for percent in PERCENTILES},
        ordered[-1],
        [(limits[at], counts[at]) for at in range(used[0], used[-1] + 1)],
    )


def histogram(delays: Delays) -> list[str]:
    """The buckets as lines of text, a bar each."""
    most = max(count for _, count in delays.buckets)
    width = len(f"{most:,}")
    return [
        f"<= {limit:>5g} ms  {count:>{width},}  {'#' * math.ceil(count * _BAR / most)}".rstrip()
        for limit, count in delays.buckets
    ]
