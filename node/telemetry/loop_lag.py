"""How late the event loop is: the one number that says a node has too much to do. Pure."""

from bisect import bisect_left

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_MAX_OVER_S = 60.0


class LoopLag:
    """Counts of how much later than asked the loop woke a sleeping task.

    Attributes:
        counts: per bucket of BUCKETS_S, not cumulative; one more for everything above.
        sum_s: all of them together.
    """

    __slots__ = ("_max_before_s", "_max_s", "_since", "counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0
        self._max_s = 0.0
        self._max_before_s = 0.0
        self._since = 0.0

    def record(self, lag_s: float, now: float) -> None:
        """Count one wake-up.

        Args:
            lag_s: how late it was, seconds.
            now: on the clock that `lag_s` was measured with.
        """
        self.counts[bisect_left(BUCKETS_S, lag_s)] += 1
        self.sum_s += lag_s
        if now - self._since >= _MAX_OVER_S:
            self._max_before_s = self._max_s
            self._max_s = 0.0
            self._since = now
        self._max_s = max(self._max_s, lag_s)

    @property
    def max_s(self) -> float:
        """The largest of the last one to two minutes: a scrape every minute or oftener misses none."""
        return max(self._max_s, self._max_before_s)
