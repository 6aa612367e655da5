"""Who gets a session on this node now: not while it leaves, not when it is full, not too many at once."""

from collections.abc import Callable
from typing import Protocol

import trio

from node.token_bucket import TokenBucket

# Causes, as they are counted.
NOT_ACCEPTING = "not_accepting"
TOO_FAST = "connection_rate"


class Room(Protocol):
    """What this needs of the register of sessions."""

    @property
    def full(self) -> bool:
        """Whether a further session would be over the node's limit."""


class Arrivals:
    """The node's decision about each client that wants a session.

    Args:
        room: whether there is any.
        leaves: whether the node is out of rotation.
        rate_max: new sessions per second, 0 for no limit.
        arrived: told the moment of every refusal that comes from leaving, on trio's clock.
    """

    def __init__(
        self,
        room: Room,
        leaves: Callable[[], bool] = lambda: False,
        rate_max: int = 0,
        arrived: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._room = room
        self._leaves = leaves
        self._arrived = arrived
        self._bucket = TokenBucket(rate_max, trio.current_time(), full=True) if rate_max else None

    def refusal(self) -> str:
        """Why this client gets no session now, "" if it does; to be asked once per client."""
        now = trio.current_time()
        if self._leaves():
            self._arrived(now)
            return NOT_ACCEPTING
        if self._room.full:
            return NOT_ACCEPTING
        if self._bucket is not None and not self._bucket.take(1, now):
            return TOO_FAST
        return ""
