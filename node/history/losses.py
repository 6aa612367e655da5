"""Telling clients that they may have missed something, at a pace the cluster can take.

Each of them comes back with its position at once: told together, a busy channel's clients would be a
storm of reads. Until it is told a client gets nothing from the channel, so that its position stays where
the hole begins.
"""

from collections.abc import Iterable
from itertools import islice

import trio

from node.hub import Subscription

# How often a batch is told, seconds: small enough that a client does not notice the batches.
_BATCH_S = 0.02


class Losses:
    """Subscriptions that are out of the hub already and still have to be told.

    Args:
        rate: subscriptions told per second, > 0.
    """

    def __init__(self, rate: float) -> None:
        self._per_batch = max(1, round(rate * _BATCH_S))
        self._interval_s = self._per_batch / rate
        # A dict is a queue from which a client that leaves can be taken out.
        self._pending: dict[Subscription, None] = {}
        self._parked = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, subscriptions: Iterable[Subscription]) -> None:
        """Tell these, after those that wait already."""
        self._pending.update(dict.fromkeys(subscriptions))
        self._parked.unpark_all()

    def discard(self, subscription: Subscription) -> None:
        """It left by itself: there is nobody to tell."""
        self._pending.pop(subscription, None)

    async def run(self) -> None:
        """Tell for ever; cancel to stop."""
        while True:
            if not self._pending:
                await self._parked.park()
            for subscription in list(islice(self._pending, self._per_batch)):
                # What one is told may make another leave.
                if subscription in self._pending:
                    del self._pending[subscription]
                    subscription.subscriber.subscription_lost(subscription)
            await trio.sleep(self._interval_s)
