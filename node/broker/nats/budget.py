"""How much of what is stored may be on its way to this node at one time.

A server keeps what a connection has not taken yet, and cuts a connection with more than its `max_pending`
(64 MB): the live messages of a node would be gone with the pages that its clients asked for. So a read takes
its turn, and asks for a bounded answer.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from node.broker.interface import BrokerUnavailable
from node.broker.nats.patience import Patience

# What one answer may bring. The server stops behind the message that reaches it, and counts neither the
# headers it writes itself nor the subject's second mention: up to 1.5 kB a message.
ANSWER_BYTES = 1_048_576
ANSWER_MESSAGES = 1000


class Budget:
    """Turns for direct gets.

    Args:
        bytes_max: of all answers under way; one is let through in any case.
        payload_max: how long a message may be, as the server says now.
    """

    def __init__(self, bytes_max: int, payload_max: Callable[[], int]) -> None:
        self._bytes_max = bytes_max
        self._payload_max = payload_max
        self._limiter = trio.CapacityLimiter(1)

    @asynccontextmanager
    async def turn(self, patience: Patience) -> AsyncIterator[None]:
        """Wait for a turn, first come first served; it ends with the context.

        Raises:
            BrokerUnavailable: none came within the caller's patience.
        """
        # Known once connected, and another server's limit may be another.
        self._limiter.total_tokens = max(1, self._bytes_max // (ANSWER_BYTES + self._payload_max()))
        with trio.move_on_after(patience.left_s) as waiting:
            await self._limiter.acquire()
        if waiting.cancelled_caught:
            raise BrokerUnavailable("other reads were still under way (broker.nats.reads_bytes_max)")
        try:
            yield
        finally:
            self._limiter.release()
