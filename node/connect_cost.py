"""What a new session costs in CPU time, estimated from totals. Pure.

The work of one connect is spread over the accept, the handshake, commands, the broker's answers and the
interpreter's own housekeeping, between which other clients are served: measuring it piece by piece would
cost more than some of the pieces, and miss the rest. So the whole process is measured, and the cost is what
the CPU time of an interval grows by for each session that came in it, with the bytes written to clients as
the second cause: least squares over intervals, older ones counting less and less. It says something only
once the number of new sessions has varied, and then it holds until that happens again.
"""

# What an interval's weight is multiplied by with each later one: some 20 s of memory at one per second.
_FADING = 0.95
# Standard deviation of the new sessions per second, bytes written being equal, that is more than chance.
_SPREAD_MIN = 5.0
# Beyond these it is no cost of a connect but something else that happened to come with it, seconds.
_COST_MIN_S, _COST_MAX_S = 20e-6, 0.1


class ConnectCost:
    """A running estimate.

    Attributes:
        seconds: CPU time of one session's connect and subscriptions; 0.0 while unknown.
    """

    __slots__ = ("_products", "_sums", "_weight", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._weight = 0.0
        # Of connects, bytes and CPU, per second: sums, and sums of products.
        self._sums = [0.0, 0.0, 0.0]
        self._products = [[0.0] * 3 for _ in range(3)]

    def add(self, connects_per_s: float, bytes_per_s: float, cpu: float) -> None:
        """Take note of an interval.

        Args:
            connects_per_s: new sessions.
            bytes_per_s: written to clients.
            cpu: CPU seconds per second.
        """
        # Megabytes, so that the three are of like size.
        values = (connects_per_s, bytes_per_s / 1e6, cpu)
        self._weight = self._weight * _FADING + 1
        for row, value in enumerate(values):
            self._sums[row] = self._sums[row] * _FADING + value
            for column, other in enumerate(values):
                self._products[row][column] = self._products[row][column] * _FADING + value * other
        self._estimate()

    def _estimate(self) -> None:
        connects, written, both = self._spread(0, 0), self._spread(1, 1), self._spread(0, 1)
        # What varies of the one without the other; bytes that hardly vary explain nothing.
        shared = both / written if written > 1e-9 else 0.0
        alone = connects - shared * both
        if alone < _SPREAD_MIN**2:
            return
        cost = (self._spread(0, 2) - shared * self._spread(1, 2)) / alone
        # It cannot be more than everything.
        cost = min(cost, self._sums[2] / self._sums[0])
        if _COST_MIN_S <= cost <= _COST_MAX_S:
            self.seconds = cost

    def _spread(self, one: int, other: int) -> float:
        """The weighted covariance of two of the three."""
        means = self._sums[one] * self._sums[other] / self._weight**2
        return self._products[one][other] / self._weight - means
