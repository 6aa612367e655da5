"""The channels of this node that have subscribers: interest, joining, leaving, and what the broker says.

The first local subscriber makes the interest and has the head read, live messages waiting meanwhile; the
last one's leaving gives everything back. Joining a channel that is open needs no I/O unless a recovery
asks for more than the tail holds. Every decision about a join is taken in the same turn of the loop as
the subscription is added to the hub, so that nothing falls between the two.
"""

import time
from collections.abc import Awaitable, Callable

import structlog
import trio

from node.broker.interface import Broker, BrokerError, BrokerUnavailable, Head, Page
from node.config.options import ChannelOptions, HistoryRunOptions
from node.history.chain import Chain, Comparison, Step
from node.history.channel import Channel, Sizes
from node.history.checks import Checks
from node.history.joining import Joining
from node.history.losses import Losses
from node.history.newcomers import Newcomers
from node.history.reading import Wanted, read_history
from node.history.recovery import Joined
from node.history.repair import Repairs
from node.history.sharing import SharedReads
from node.hub import Hub, Subscription
from node.protocol.messages import HistoryResult, StreamPosition
from node.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)

# Each holds a whole channel's history in memory until its answers are written.
_HISTORY_READS_AT_ONCE = 32


class Channels:
    """See the module. It is the broker's Listener.

    Args:
        broker: carries and stores publications.
        hub: this node's subscriptions.
        options_of: a channel's options; called once while a channel has subscribers.
        config: how a node repairs and remembers.
        namespace_of: the namespace a channel belongs to.
        recovery_limit: publications in one recovery.
        lost_max_s: how long the broker may be away before joins of history channels fail at once, seconds.
        meta_ttl_s: how long positions stay meaningful where a channel's options do not say, seconds.
        metrics: what is counted.
        clock: the time of day, seconds since 1970: history_ttl is measured against the store's times.
    """

    def __init__(
        self,
        broker: Broker,
        hub: Hub,
        options_of: Callable[[str], ChannelOptions],
        config: HistoryRunOptions,
        *,
        namespace_of: Callable[[str], str],
        recovery_limit: int,
        lost_max_s: float,
        meta_ttl_s: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._broker = broker
        self._hub = hub
        self._options_of = options_of
        self._namespace_of = namespace_of
        self._meta_ttl_s = meta_ttl_s
        self._clock = clock
        self._sizes = Sizes(config.tail_size, config.tail_bytes_max, recovery_limit)
        self._channels: dict[str, Channel] = {}
        self._nursery: trio.Nursery | None = None
        # How often the feed broke, and whether it is broken now.
        self._breaks = 0
        self._broken = False
        self._losses = Losses(config.resubscribe_rate)
        self._newcomers = Newcomers(broker)
        self._heads = SharedReads(self._head, self._start, at_once=_HISTORY_READS_AT_ONCE)
        self._pages = SharedReads(self._page, self._start, at_once=_HISTORY_READS_AT_ONCE)
        self._repairs = Repairs(broker, metrics, self._lose, self._restart)
        self._joining = Joining(
            broker,
            metrics,
            trusted=lambda channel: bool(channel.chain.epoch) and channel.verified == self._breaks,
            compare=lambda channel: self._checks.now([channel]),
            read=lambda channel: self._start(self._repairs.recover, channel),
            lost_max_s=lost_max_s,
            clock=clock,
        )
        self._checks = Checks(
            broker,
            batch=config.check_batch,
            delays_s=config.check_delays_s,
            interval_s=config.check_interval_s,
            active=self._with_history,
            compared=self._compared,
            feed=lambda: None if self._broken else self._breaks,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open, repair and check for ever; joins need it running. Cancel to stop."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._newcomers.run)
            nursery.start_soon(self._checks.run)
            nursery.start_soon(self._losses.run)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None
                for channel in self._channels.values():
                    channel.fail(BrokerUnavailable("the node is stopping"))

    @property
    def tail_publications(self) -> int:
        """Publications kept in memory for recoveries."""
        return sum(len(channel.tail) for channel in self._channels.values())

    @property
    def tail_bytes(self) -> int:
        """Their bytes."""
        return sum(channel.tail.bytes for channel in self._channels.values())

    # --- joining and leaving --------------------------------------------------------------------

    def arrive(self) -> int:
        """Note that a client comes, which will join; see `join` and `newcomers`. Never blocks."""
        return self._newcomers.note()

    async def join(
        self, subscription: Subscription, since: StreamPosition | None, arrived: int | None = None
    ) -> Joined:
        """Add a subscription to its channel, after a recovery if it asks for one.

        There is no checkpoint between adding and returning: the caller writes the subscribe reply before
        its next await, and live publications come behind it. Cancelled or failed, nothing is left behind.

        Args:
            subscription: of one session in one channel; not in the hub yet.
            since: the client's position; None if it did not ask for a recovery.
            arrived: what `arrive` returned when the client came, or after that; None for now.

        Raises:
            BrokerUnavailable: the broker is away, or did not answer.
            BrokerRejected: it answered no.
        """
        self._running()
        if since is None:
            # Without a position nothing else tells what the client saw before.
            await self._newcomers.passed(self._newcomers.note() if arrived is None else arrived)
        channel = self._channel(subscription.channel)
        channel.joining += 1
        try:
            if channel.keeps_history:
                joined = await self._joining.position(channel, since)
            else:
                while channel.interest is None:
                    await channel.change()
                joined = Joined(None)
            self._hub.add(subscription)
            channel.occupied = True
            return joined
        finally:
            channel.joining -= 1
            self._close_unused(channel)

    def leave(self, subscription: Subscription) -> None:
        """Take a subscription out of its channel; nothing if it is not in it. Never blocks."""
        self._losses.discard(subscription)
        if self._hub.remove(subscription):
            channel = self._channels[subscription.channel]
            channel.occupied = False
            self._close_unused(channel)

    async def history(
        self, channel: str, *, limit: int, since: StreamPosition | None, reverse: bool
    ) -> HistoryResult:
        """A channel's history as API and clients may see it; see `reading.read_history`."""
        return await read_history(
            self._heads.get,
            self._pages.get,
            channel,
            self._options_of(channel),
            Wanted(limit, since, reverse),
            opened=self._channels.get(channel),
            now_ms=self._clock() * 1000,
        )

    async def _head(self, channel: str) -> Head:
        return (await self._broker.heads([channel]))[channel]

    async def _page(self, key: tuple[str, int]) -> Page:
        channel, after = key
        opened = self._channels.get(channel)
        reached = opened.chain.top if opened is not None else 0
        # One more is stored than readers see, and a tombstone may be there, too.
        size = self._options_of(channel).history_size + 2
        return await self._broker.read(channel, after, size, at_least=reached)

    # --- opening and closing --------------------------------------------------------------------

    def _channel(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            channel = Channel(
                name, self._namespace_of(name), self._options_of(name), self._hub, self._sizes, self._gap
            )
            self._channels[name] = channel
        if channel.interest is None and not channel.opening:
            channel.opening = True
            self._start(self._open, channel)
        return channel

    async def _open(self, channel: Channel) -> None:
        try:
            interest = await self._broker.subscribe(channel.name, channel.deliver)
        except BrokerError as error:
            channel.fail(error)
            return
        finally:
            channel.opening = False
        if channel.closed:
            self._broker.unsubscribe(interest)
            return
        channel.interest = interest
        if channel.keeps_history:
            self._checks.now([channel])
        channel.changed()

    def _close_unused(self, channel: Channel) -> None:
        if channel.joining or channel.occupied or channel.closed:
            return
        channel.closed = True
        del self._channels[channel.name]
        if channel.interest is not None:
            self._broker.unsubscribe(channel.interest)

    def _with_history(self) -> list[Channel]:
        return [
            channel
            for channel in self._channels.values()
            if channel.keeps_history and channel.interest is not None
        ]

    def _start(self, run: Callable[..., Awaitable[None]], *arguments: object) -> None:
        self._running().start_soon(run, *arguments)

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise RuntimeError("Channels.run must be started before anybody joins")
        return self._nursery

    # --- what the store and the feed say --------------------------------------------------------

    def _compared(self, channel: Channel, head: Head, feed_stood: bool) -> None:
        first = not channel.chain.epoch
        now_s = trio.current_time()
        comparison = channel.compare(head, now_s)
        if feed_stood:
            channel.verified = self._breaks
        if first:
            self._checks.soon([channel])
        if comparison is Comparison.OTHER_EPOCH:
            self._restart(channel)
        elif comparison is Comparison.MISSED or (
            comparison is Comparison.VANISHED and (channel.ahead or self._is_stale(channel, now_s))
        ):
            channel.chain.hold()
            self._repair(channel)
        channel.changed()

    def _is_stale(self, channel: Channel, now_s: float) -> bool:
        """Whether `seen` must be proven anew, before the store forgets what the proof needs."""
        return now_s - channel.proven_s > (channel.meta_ttl_s or self._meta_ttl_s) / 4

    def _gap(self, channel: Channel, step: Step) -> None:
        # The first publication of an empty channel is of unknown descent, and nothing to worry about.
        say = _log.info if step is Step.GAP else _log.debug
        say("live copy missing", channel=channel.name, step=step.value, seen=channel.chain.seen)
        self._repair(channel)

    def _repair(self, channel: Channel) -> None:
        if channel.repairing is not channel.chain:
            channel.repairing = channel.chain
            self._start(self._fill, channel, channel.chain)

    async def _fill(self, channel: Channel, chain: Chain) -> None:
        await self._repairs.fill(channel, chain)
        if channel.repairing is chain:
            channel.repairing = None
        # Everybody may have been told to come back.
        self._close_unused(channel)

    def _lose(self, channel: Channel) -> None:
        """Take those who asked to be told out of the channel, and have them told."""
        lost = [member for member in self._hub.members(channel.name) if member.tracked]
        for subscription in lost:
            if self._hub.remove(subscription):
                channel.occupied = False
        self._losses.add(lost)
        if lost:
            _log.warning("clients must subscribe again", channel=channel.name, subscriptions=len(lost))

    def _restart(self, channel: Channel) -> None:
        self._lose(channel)
        channel.restart()
        self._close_unused(channel)
        if not channel.closed:
            self._checks.now([channel])

    def feed_broken(self) -> None:
        """See broker.interface.Listener: from now on no position is trusted."""
        self._broken = True
        self._breaks += 1

    def feed_restored(self) -> None:
        """See broker.interface.Listener: positions are trusted again once their heads were compared."""
        self._broken = False
        self.heads_suspect()

    def heads_suspect(self) -> None:
        """See broker.interface.Listener."""
        channels = self._with_history()
        self._checks.now(channels)
        self._checks.soon(channels)

    def epoch_changed(self, namespace: str, epoch: str) -> None:
        """See broker.interface.Listener: everything known of this namespace is void."""
        for channel in self._with_history():
            if channel.namespace == namespace and channel.chain.epoch != epoch:
                self._restart(channel)
