"""How long deliveries took, by the second in which they were published.

Counts of tenths of a millisecond instead of millions of numbers: percentiles come out exact to that.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from chaos.recorded import Disturbance, Recorded, Stream

_TICKS_PER_S = 10_000
_SPAN = 1 << 32  # more ticks than a lag can have: a second and a lag make one number

Lags = Mapping[int, Counter[int]]


def lags(recorded: Recorded, streams: Iterable[Stream]) -> Lags:
    """Lags of all deliveries, by second since the run began.

    What nobody published has no lag; what came before it was published counts as at once.
    """
    zero = recorded.zero
    unknown = -math.inf
    invoked = [unknown if each.invoked is None else each.invoked - zero for each in recorded.publications]
    counts: Counter[int] = Counter()
    for stream in streams:
        counts.update(
            int(sent) * _SPAN + max(0, int((t - zero - sent) * _TICKS_PER_S))
            for t, sent in zip(stream.times, map(invoked.__getitem__, stream.numbers), strict=True)
            if sent >= 0
        )
    found: dict[int, Counter[int]] = {}
    for key, count in counts.items():
        second, tick = divmod(key, _SPAN)
        found.setdefault(second, Counter())[tick] = count
    return found


def together(lags: Lags, seconds: Iterable[int]) -> Counter[int]:
    """The lags of some seconds as one."""
    total: Counter[int] = Counter()
    for second in seconds:
        total.update(lags.get(second, {}))
    return total


def percentiles(counts: Counter[int], *ranks: float) -> list[float]:
    """The lags, in seconds, that so many of all stay below; 0 without any.

    Args:
        counts: by ticks.
        ranks: between 0 and 1, rising; 1 is the largest.
    """
    found: list[float] = []
    total, passed = counts.total(), 0
    wanted = [max(1, math.ceil(rank * total)) for rank in ranks]
    for tick in sorted(counts):
        passed += counts[tick]
        while len(found) < len(wanted) and passed >= wanted[len(found)]:
            found.append(tick / _TICKS_PER_S)
    return found or [0.0] * len(ranks)


def quiet(lags: Lags, recorded: Recorded, disturbances: Iterable[Disturbance]) -> list[int]:
    """The seconds in which nothing was disturbed, not even for a moment."""
    busy: set[int] = set()
    for began, ended, _ in disturbances:
        last = min(ended, recorded.end) - recorded.zero
        busy.update(range(int(began - recorded.zero), int(last) + 1))
    return sorted(set(lags) - busy)
