"""Holding the store's heads against the chains: no live copy is lost for long without being noticed.

The live path may drop a message silently (a stream's leader changes, a feed breaks, a replica learns
late of an interest). So heads are compared when a channel opens, twice soon after, all at once after a
break, and now and then for ever; in batches, since one request brings many heads.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import structlog
import trio

from node.broker.interface import Broker, BrokerError, BrokerUnavailable, Head
from node.history.channel import Channel

_log = structlog.get_logger(__name__)

# Requests for heads under way at the same time; few, so that many channels share one.
_REQUESTS_AT_ONCE = 4
_RETRY_DELAY_S = 0.5


class Checks:
    """Asks for heads, now, soon and periodically.

    Args:
        broker: what is asked.
        batch: channels in one request at most.
        delays_s: when a channel is compared again after `soon`, seconds.
        interval_s: how often all of `active` are compared, seconds.
        active: the channels that keep history and have subscribers.
        compared: called with a channel and the store's head, and whether the feed has stood from before
            the request to its answer.
        feed: a number that changes whenever the feed breaks, None while it is broken.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        batch: int,
        delays_s: Sequence[float],
        interval_s: float,
        active: Callable[[], list[Channel]],
        compared: Callable[[Channel, Head, bool], None],
        feed: Callable[[], int | None],
    ) -> None:
        self._broker = broker
        self._batch = batch
        self._interval_s = interval_s
        self._active = active
        self._compared = compared
        self._feed = feed
        # By namespace: a store that does not answer for one must not fail the others.
        self._now: dict[str, dict[Channel, None]] = {}
        self._later = {delay_s: deque[tuple[float, Channel]]() for delay_s in delays_s}
        self._parked = trio.lowlevel.ParkingLot()
        self._parked_later = trio.lowlevel.ParkingLot()
        self._limiter = trio.CapacityLimiter(_REQUESTS_AT_ONCE)

    def now(self, channels: Iterable[Channel]) -> None:
        """Compare these with the next request."""
        for channel in channels:
            self._now.setdefault(channel.namespace, {})[channel] = None
        self._parked.unpark_all()

    def soon(self, channels: Iterable[Channel]) -> None:
        """Compare these after each of the delays."""
        now_s = trio.current_time()
        channels = list(channels)
        for delay_s, due in self._later.items():
            due.extend((now_s + delay_s, channel) for channel in channels)
        self._parked_later.unpark_all()

    async def run(self) -> None:
        """Ask for ever; cancel to stop."""
        async with trio.open_nursery() as nursery:
            for delay_s in self._later:
                nursery.start_soon(self._run_later, self._later[delay_s])
            nursery.start_soon(self._run_periodic)
            while True:
                if not self._now:
                    await self._parked.park()
                    continue
                # Acquired here, released by the request: what comes meanwhile makes the next batch bigger.
                request = object()
                await self._limiter.acquire_on_behalf_of(request)
                nursery.start_soon(self._ask, self._take(), request)

    def _take(self) -> list[Channel]:
        namespace, queue = next(iter(self._now.items()))
        batch = list(islice(queue, self._batch))
        # What is left of this namespace goes behind the others.
        del self._now[namespace]
        for channel in batch:
            del queue[channel]
        if queue:
            self._now[namespace] = queue
        return [channel for channel in batch if not channel.closed]

    async def _ask(self, batch: list[Channel], request: object) -> None:
        feed = self._feed()
        chains = [channel.chain for channel in batch]
        try:
            heads = await self._broker.heads([channel.name for channel in batch]) if batch else {}
        except BrokerError as failure:
            heads, error = {}, failure
        else:
            error = BrokerUnavailable("the store's answer leaves this channel out")
        finally:
            self._limiter.release_on_behalf_of(request)
        stood = feed is not None and feed == self._feed()
        unanswered = []
        for channel, chain in zip(batch, chains, strict=True):
            head = heads.get(channel.name)
            if head is None:
                unanswered.append(channel)
            elif channel.chain is chain and not channel.closed:
                # A chain that was restarted meanwhile must not open with a head of before.
                self._compared(channel, head, stood)
        if unanswered:
            await self._retry(unanswered, error)

    async def _retry(self, channels: list[Channel], error: BrokerError) -> None:
        # While the feed is broken those who wait go on waiting: all is compared when it is back.
        if self._feed() is not None:
            _log.warning("heads not read", channels=len(channels), error=str(error))
            for channel in channels:
                channel.fail(error)
            await trio.sleep(_RETRY_DELAY_S)
            self.now(channel for channel in channels if not channel.closed)

    async def _run_later(self, due: deque[tuple[float, Channel]]) -> None:
        while True:
            if not due:
                await self._parked_later.park()
                continue
            await trio.sleep_until(due[0][0])
            now_s = trio.current_time()
            channels = []
            while due and due[0][0] <= now_s:
                channels.append(due.popleft()[1])
            self.now(channels)

    async def _run_periodic(self) -> None:
        while True:
            await trio.sleep(self._interval_s)
            self.now(self._active())
