"""Fetching what live copies did not bring: gaps in a channel's chain, and positions its tail cannot prove.

Both read through the broker, one read per channel and kind at a time, so that a storm of clients is no
storm of reads. What a page means is decided by `channel` and `recovery`, not here.
"""

from collections.abc import Callable

import structlog
import trio

from node.broker.interface import Broker, BrokerError
from node.history.chain import Chain
from node.history.channel import Channel
from node.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)

# Channels whose gaps are read at the same time; recoveries have as many of their own.
_READS_AT_ONCE = 32
# Reads of one gap that may fail, or bring nothing new, before its clients are told instead.
_ATTEMPTS = 5
_RETRY_DELAY_S = 0.1
_RETRY_DELAY_MAX_S = 1.0


class Repairs:
    """Runs the reads.

    Args:
        broker: what is read from.
        metrics: where results are counted.
        lose: takes a channel's subscriptions that asked to be told out of the hub, and has them told.
        restart: makes a channel open again from nothing; they are told as well.
    """

    def __init__(
        self,
        broker: Broker,
        metrics: Metrics,
        lose: Callable[[Channel], None],
        restart: Callable[[Channel], None],
    ) -> None:
        self._broker = broker
        self._metrics = metrics
        self._lose = lose
        self._restart = restart
        self._gap_limiter = trio.CapacityLimiter(_READS_AT_ONCE)
        self._recovery_limiter = trio.CapacityLimiter(_READS_AT_ONCE)

    async def fill(self, channel: Channel, chain: Chain) -> None:
        """Read what an open chain misses until it follows live again, or the channel was restarted.

        While the feed is cut it keeps trying: the channel's clients are behind then, and nothing is lost.
        """
        whole = True
        fetched = False
        failed = 0
        while chain.waiting is not None and _current(channel, chain):
            seen = chain.seen
            try:
                async with self._gap_limiter:
                    page = await self._broker.read(
                        channel.name, seen, channel.history_size + 1, at_least=max(chain.missing, seen)
                    )
            except BrokerError as error:
                if not _current(channel, chain):
                    return
                # What waits may turn out to need no page at all.
                channel.resume()
                if not self._broker.connected:
                    await trio.sleep(_RETRY_DELAY_MAX_S)
                    continue
                _log.warning("gap not read", channel=channel.name, since=seen, error=str(error))
                failed += 1
            else:
                if not _current(channel, chain):
                    return
                if page.head.epoch != chain.epoch:
                    self._restart(channel)
                    return
                at_hand = {message.offset for message in chain.waiting or ()}
                fetched = fetched or any(message.offset not in at_hand for message in page.messages)
                whole = channel.catch_up(page, trio.current_time(), self._lose) and whole
                failed = 0 if chain.seen > seen else failed + 1
            if failed > _ATTEMPTS:
                self._metrics.gap_repairs["abandoned"] += 1
                _log.error("gap cannot be read", channel=channel.name, since=seen, attempts=failed)
                self._restart(channel)
                return
            if failed and chain.waiting is not None:
                await trio.sleep(min(_RETRY_DELAY_MAX_S, _RETRY_DELAY_S * 2 ** (failed - 1)))
        if _current(channel, chain):
            channel.changed()
            # A read that brought nothing new only proved that there was no gap.
            if fetched or not whole:
                self._metrics.gap_repairs["repaired" if whole else "insufficient_state"] += 1

    async def recover(self, channel: Channel) -> None:
        """Read from the positions in `channel.wanted` until nobody wants more."""
        while channel.wanted and not channel.closed:
            async with self._recovery_limiter:
                # Taken late: whoever came while this waited for its turn shares the read.
                chain = channel.chain
                if not channel.wanted or not chain.epoch:
                    break
                since = channel.reading_since = min(channel.wanted)
                channel.wanted.clear()
                try:
                    page = await self._broker.read(
                        channel.name, since, channel.limits.publications, at_least=chain.seen
                    )
                except BrokerError as error:
                    channel.fail(error)
                    continue
            channel.pages += 1
            if _current(channel, chain):
                if page.head.epoch == chain.epoch:
                    channel.remember(page, since)
                else:
                    self._restart(channel)
            channel.changed()
        channel.reading_since = None


def _current(channel: Channel, chain: Chain) -> bool:
    """Whether a page read for this chain still means anything to the channel."""
    return channel.chain is chain and not channel.closed
