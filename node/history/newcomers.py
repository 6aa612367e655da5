"""Whether the feed has been read up to the moment at which a client came.

What a client saw at another node may still be on its way to this one: in buffers, while a network is silent
or this process stands still. Added to a channel before that is delivered, it would get it twice. So it waits
for an answer of the broker that was asked for after it came, which everything older is delivered ahead of.
One question serves all who came before it; mostly it is answered before a client has said what it wants.
"""

import trio

from node.broker.interface import Broker, BrokerUnavailable, Unanswered


class Newcomers:
    """Counts who comes, and knows up to whom the feed has been read.

    Args:
        broker: whose feed it is.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._came = 0
        self._passed = 0
        self._asker = trio.lowlevel.ParkingLot()
        self._waiting = trio.lowlevel.ParkingLot()

    def note(self) -> int:
        """Somebody comes; returns the number to wait for. Never blocks."""
        self._came += 1
        self._asker.unpark()
        return self._came

    async def passed(self, number: int) -> None:
        """Wait until all that the broker had when `number` was noted has been delivered, or cannot come.

        A feed that is silent keeps everybody waiting until it goes on or its connection is given up.
        """
        while self._passed < number:
            await self._waiting.park()

    async def run(self) -> None:
        """Ask for ever, one question at a time, while there is somebody who came after the last one."""
        while True:
            while self._passed == self._came:
                await self._asker.park()
            asked = self._came
            try:
                await self._broker.flush()
            except Unanswered:
                continue
            except BrokerUnavailable:
                # What was on its way over a connection that is gone does not come any more.
                pass
            self._passed = asked
            self._waiting.unpark_all()
