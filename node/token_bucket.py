"""So many per second, and never many at once: how a node paces what it sends away and lets in. Pure."""

# What was not used is kept for so long: a loop that stood still for a moment may catch up, an idle one not.
BURST_S = 0.25


class TokenBucket:
    """Tokens that come at a rate, and are taken one by one.

    Args:
        rate: tokens per second; 0 or less: none come.
        now: on the clock of all later calls, seconds.
        full: begin with what may be kept; otherwise with nothing.
    """

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: float, now: float, *, full: bool = False) -> None:
        self._rate = rate
        self._at = now
        self._tokens = self._most if full else 0.0

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self._rate

    @property
    def _most(self) -> float:
        return max(1.0, self._rate * BURST_S)

    def change(self, rate: float, now: float) -> None:
        """Let tokens come at another rate from now on; what came before stays, as far as it may."""
        self._refill(now)
        self._rate = rate
        self._tokens = min(self._tokens, self._most)

    def available(self, now: float) -> int:
        """How many may be taken now."""
        self._refill(now)
        return int(self._tokens)

    def take(self, count: int, now: float) -> bool:
        """Take some if there are so many; returns whether."""
        if self.available(now) < count:
            return False
        self._tokens -= count
        return True

    def _refill(self, now: float) -> None:
        # A clock that was set back brings nothing, and takes nothing.
        elapsed_s = max(0.0, now - self._at)
        self._at = max(self._at, now)
        if self._rate > 0:
            self._tokens = min(self._most, self._tokens + elapsed_s * self._rate)
