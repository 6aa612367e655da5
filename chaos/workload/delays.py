"""How late deliveries are, for those who watch a run; the judge reads it from the history."""

from collections import deque

# Publications that a client gets later than so many others count as prompt.
_KEPT = 10_000
_LOOKS = 10


class Delays:
    """From sending a publication to each of its deliveries, within one process."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._longest = 0.0
        self._before: deque[float] = deque(maxlen=_LOOKS)

    def sent(self, publication: str, now: float) -> None:
        """A publication begins its way."""
        if len(self._sent) >= _KEPT:
            del self._sent[next(iter(self._sent))]
        self._sent[publication] = now

    def delivered(self, publication: str, now: float) -> None:
        """It has come to a client."""
        took_s = now - self._sent.get(publication, now)
        if took_s > self._longest:
            self._longest = took_s

    def longest_s(self) -> float:
        """The longest since this was last asked, or one of the last times before."""
        self._before.append(self._longest)
        self._longest = 0.0
        return max(self._before)
