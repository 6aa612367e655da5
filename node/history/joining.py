"""How a subscription learns where it begins: waiting until its channel can be trusted, and recovering.

The last decision is taken without a checkpoint after it, so that what it says is still true when the
subscription is added to the hub. Nothing here adds anything.
"""

from collections.abc import Callable

import trio

from node.broker.interface import Broker, BrokerUnavailable
from node.history.channel import Channel
from node.history.recovery import Joined, Need, Refusal, answer
from node.protocol.messages import StreamPosition
from node.telemetry.metrics import Metrics

# A position above what this node has seen is looked for after each of these delays, seconds; together
# well below the deadline of a command. After the last one it is taken to be above the stream's end.
_AHEAD_DELAYS_S = (0.0, 0.05, 0.2, 0.5, 1.0, 1.0)
# Pages waited for by one join. Two are enough (one may be under way, from a later position) unless the
# tail moves on faster than the store answers.
_PAGES_MAX = 3
# What a need means that was not met.
_UNPROVEN = {Need.READ: Refusal.REMOVED, Need.CATCH_UP: Refusal.AHEAD}


class Joining:
    """Answers for joins of channels that keep history.

    Args:
        broker: asked only whether it is there.
        metrics: recoveries are counted.
        trusted: whether a channel is open and was compared with the store after the feed's last break.
        compare: has a channel's head compared soon.
        read: starts a reader for `channel.wanted`.
        lost_max_s: how long the broker may be away before joins fail at once, seconds.
        clock: the time of day, seconds since 1970.
    """

    def __init__(
        self,
        broker: Broker,
        metrics: Metrics,
        *,
        trusted: Callable[[Channel], bool],
        compare: Callable[[Channel], None],
        read: Callable[[Channel], None],
        lost_max_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._metrics = metrics
        self._is_trusted = trusted
        self._compare = compare
        self._start_reader = read
        self._lost_max_s = lost_max_s
        self._clock = clock

    async def position(self, channel: Channel, since: StreamPosition | None) -> Joined:
        """Where a subscription begins that is added to the hub before the next checkpoint.

        Args:
            channel: one that somebody opens.
            since: the client's position; None if it did not ask for a recovery.

        Raises:
            BrokerError: the broker is away, or did not answer.
        """
        while True:
            await self._trust(channel)
            if since is None:
                return Joined(channel.top, top=channel.top)
            joined = await self._recover(channel, since)
            if joined is not None:
                return joined

    async def _trust(self, channel: Channel) -> None:
        while True:
            if self._broker.disconnected_for_s > self._lost_max_s:
                raise BrokerUnavailable(f"the broker has been away for more than {self._lost_max_s:g} s")
            if self._is_trusted(channel):
                return
            await channel.change()

    async def _recover(self, channel: Channel, since: StreamPosition) -> Joined | None:
        """Answer, after reads if it takes some; None if the channel is not trusted any more."""
        pages = looked = 0
        try:
            while self._is_trusted(channel):
                chain, now_ms = channel.chain, self._clock() * 1000
                missed = answer(
                    since, chain.epoch, chain.seen, channel.tail, channel.floor, channel.limits, now_ms
                )
                if missed is Need.READ and pages < _PAGES_MAX:
                    if not pages:
                        channel.hold_tail()
                    pages += 1
                    await self._page(channel, since.offset)
                elif missed is Need.CATCH_UP and (looked < len(_AHEAD_DELAYS_S) or chain.waiting is not None):
                    # While a gap is being filled nobody can say that the position is above the end.
                    await self._look_ahead(channel, _AHEAD_DELAYS_S[min(looked, len(_AHEAD_DELAYS_S) - 1)])
                    looked += 1
                elif isinstance(missed, list):
                    self._metrics.recoveries["recovered", "store" if pages else "tail"] += 1
                    publications = tuple(entry.publication for entry in missed)
                    self._metrics.publications_out["recovery"] += len(publications)
                    return Joined(StreamPosition(since.offset, chain.epoch), True, publications, channel.top)
                else:
                    refusal = _UNPROVEN[missed] if isinstance(missed, Need) else missed
                    self._metrics.recoveries["not_recovered", refusal.value] += 1
                    return Joined(channel.top, top=channel.top)
            return None
        finally:
            if pages:
                channel.release_tail()

    async def _page(self, channel: Channel, since: int) -> None:
        """Wait for the next page; one read covers all who wait, from the lowest of their positions on."""
        if channel.reading_since is None:
            channel.reading_since = since
            channel.wanted.add(since)
            self._start_reader(channel)
        elif since < channel.reading_since:
            channel.wanted.add(since)
        pages = channel.pages
        while channel.pages == pages:
            await channel.change()

    async def _look_ahead(self, channel: Channel, delay_s: float) -> None:
        """Have the head compared after a delay, one request for all who wait."""
        channel.ahead += 1
        try:
            await trio.sleep(delay_s)
            compared = channel.comparisons
            self._compare(channel)
            while channel.comparisons == compared and self._is_trusted(channel):
                await channel.change()
        finally:
            channel.ahead -= 1
