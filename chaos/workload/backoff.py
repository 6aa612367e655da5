"""How long a client stays away before it comes back: growing, capped, and different for each. Pure."""

import random

# The first delay is drawn from this range, as the official SDKs do it, so that the clients of a node that
# died do not come back in one instant.
MIN_S = (0.2, 0.5)
MAX_S = 20.0
_FACTOR = 2


def delay_s(attempt: int, chance: random.Random) -> float:
    """Seconds before the next attempt.

    Full jitter: any delay up to a bound that doubles with each attempt, but never at once.

    Args:
        attempt: 0 after the first failure; it starts again after a success.
        chance: the client's own.
    """
    least = chance.uniform(*MIN_S)
    bound = min(MAX_S, MIN_S[1] * _FACTOR ** min(attempt, 16))
    return max(least, chance.uniform(0, bound))
