"""One channel with local subscribers: its chain, its tail, and who waits for it.

No I/O here: a channel is told what the feed and the store say, hands publications to the hub, and says
what it needs. Reading, comparing and opening are the business of `repair`, `checks` and `channels`.
"""

from collections.abc import Callable
from typing import NamedTuple

import trio
from msgspec import Raw

from node.broker.interface import BrokerError, Head, Interest, Live, Page
from node.config.options import ChannelOptions
from node.history.chain import Chain, Comparison, Step
from node.history.recovery import Limits, Stretch, stretch_of
from node.history.tail import Tail, kept
from node.hub import Hub
from node.protocol.messages import Publication, StreamPosition

# Live messages of one channel that may wait for a read.
_WAITING_MAX = 1000


class Sizes(NamedTuple):
    """What every channel's memory is bounded by.

    Attributes:
        tail: publications in a tail.
        tail_bytes: their bytes; also those of live messages that wait for a read.
        recovery: publications in one recovery.
    """

    tail: int
    tail_bytes: int
    recovery: int


class Channel:
    """A channel that has, or is about to have, a local subscriber.

    Args:
        name: of the channel.
        namespace: it belongs to.
        options: of the namespace.
        hub: where publications go.
        sizes: the bounds of its memory.
        repair: called when live messages wait and a read must fetch what is missing.

    Attributes:
        name: of the channel.
        namespace: it belongs to.
        keeps_history: False: a plain channel, which has neither chain nor tail.
        history_size: publications the store keeps.
        meta_ttl_s: how long the store keeps its messages, seconds; 0 where the namespace does not say.
        chain: where this node is in the channel.
        tail: its last publications.
        limits: of its recoveries.
        floor: positions below are known to be unprovable.
        interest: the broker's, None until it is made.
        opening: somebody is making it.
        joining: joins under way.
        occupied: the hub has a subscription.
        closed: forgotten; whoever still holds it stops.
        repairing: the chain that a task repairs, if any.
        verified: the number of feed breaks the chain was compared after; -1 for never.
        proven_s: when `seen` was last proven to be near the store's end, seconds.
        ahead: joins that wait for the chain to reach their position.
        wanted: positions somebody must read from.
        reading_since: the position the read under way starts at; None while no task reads.
        pages: how many were read for `wanted`.
        comparisons: how often the store's head was held against this channel.
    """

    __slots__ = (
        "_holders", "_hub", "_parked", "_publish", "_repair", "_sizes", "ahead", "chain", "closed",
        "comparisons", "failure", "failures", "floor", "history_size", "interest", "joining",
        "keeps_history", "limits", "meta_ttl_s", "name", "namespace", "occupied", "opening", "pages",
        "proven_s", "reading_since", "repairing", "tail", "verified", "wanted",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        namespace: str,
        options: ChannelOptions,
        hub: Hub,
        sizes: Sizes,
        repair: Callable[["Channel", Step], None],
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.keeps_history = options.keeps_history
        self.history_size = options.history_size
        self._hub = hub
        self._publish = hub.publish
        self._sizes = sizes
        self._repair = repair
        self.meta_ttl_s = float(options.history_meta_ttl)
        self.limits = Limits(min(sizes.recovery, options.history_size), float(options.history_ttl))
        self.chain = Chain(_WAITING_MAX, sizes.tail_bytes)
        self.tail = Tail(min(sizes.tail, options.history_size), sizes.tail_bytes)
        self.floor = 0
        self.interest: Interest | None = None
        self.opening = False
        self.joining = 0
        self.occupied = False
        self.closed = False
        self.repairing: Chain | None = None
        self.verified = -1
        self.proven_s = 0.0
        self.ahead = 0
        self.wanted: set[int] = set()
        self.reading_since: int | None = None
        self.pages = 0
        self.comparisons = 0
        self.failure: BrokerError | None = None
        self.failures = 0
        self._holders = 0
        self._parked = trio.lowlevel.ParkingLot()

    @property
    def top(self) -> StreamPosition:
        """The channel's position as far as this node has accounted for it."""
        return StreamPosition(self.chain.top, self.chain.epoch)

    # --- what the feed brings -------------------------------------------------------------------

    def deliver(self, live: Live) -> None:
        """Take a message from the feed. Never blocks, never raises."""
        if live.offset and self.keeps_history:
            step = self.chain.live(live)
            if step is Step.NEXT:
                self._pass_on(live)
            elif step is Step.GAP or step is Step.UNKNOWN:
                self._repair(self, step)
        else:
            self._publish(self.name, publication_of(live))

    def _pass_on(self, live: Live, source: str = "live") -> None:
        if live.tombstone:
            self.tail.restart(live.offset, stored=True)
            self.floor = live.offset
            return
        publication = publication_of(live)
        self.tail.append(publication, live.time_ms, len(live.message.data))
        self._publish(self.name, publication, source)

    # --- what the store says --------------------------------------------------------------------

    def compare(self, head: Head, now_s: float) -> Comparison:
        """Take the store's head; the first one opens the channel.

        Args:
            head: of a read made after the interest was.
            now_s: a monotonic time, seconds.
        """
        if self.chain.epoch:
            comparison = self.chain.compare(head)
            if comparison is Comparison.CONFIRMED:
                self.proven_s = now_s
        else:
            self.chain.open(head)
            self.tail.restart(self.chain.top, stored=head.offset > 0)
            self.proven_s = now_s
            self.resume()
            comparison = Comparison.CONFIRMED if self.chain.waiting is None else Comparison.MISSED
        self.comparisons += 1
        return comparison

    def catch_up(self, page: Page, now_s: float, lose: Callable[["Channel"], None]) -> bool:
        """Take a page read from `chain.seen` on and let the waiting messages follow it.

        Args:
            page: its `up_to` may be anywhere; one that brings nothing new changes nothing.
            now_s: a monotonic time, seconds.
            lose: called before anything is delivered if the page does not prove that nothing else came:
                it takes those who asked to be told out of the hub.

        Returns:
            Whether the chain was continued without a hole.
        """
        stretch = stretch_of(page, self.chain.seen)
        whole = stretch.base <= self.chain.seen
        if whole:
            self._follow(stretch, page, now_s)
        else:
            lose(self)
            self._jump(stretch, page, now_s)
        self.resume()
        return whole

    def _follow(self, stretch: Stretch, page: Page, now_s: float) -> None:
        for message in stretch.messages:
            if message.offset > self.chain.seen:
                self._pass_on(message, "repair")
        self._move(stretch, page, now_s)

    def _jump(self, stretch: Stretch, page: Page, now_s: float) -> None:
        shown: list[Live] = []
        for message in page.messages:
            if message.tombstone:
                shown = []
            elif message.offset > self.chain.seen:
                shown.append(message)
        for message in shown:
            self._publish(self.name, publication_of(message), "repair")
        self.tail.restart(stretch.reach, stored=bool(page.messages))
        self.floor = max(self.floor, stretch.floor)
        self._move(stretch, page, now_s)

    def _move(self, stretch: Stretch, page: Page, now_s: float) -> None:
        last = page.messages[-1].offset if page.messages else page.head.offset
        self.chain.move(last, stretch.reach)
        self.proven_s = now_s

    def resume(self) -> None:
        """Let waiting messages go on as far as they follow without a hole."""
        for message in self.chain.resume():
            self._pass_on(message)

    def remember(self, page: Page, since: int) -> None:
        """Take a page read for recoveries from `since` on: it may put more before the tail."""
        stretch = stretch_of(page, since)
        earlier = (
            kept(publication_of(message), message.time_ms)
            for message in stretch.messages
            if not message.tombstone
        )
        self.tail.extend_back(stretch.base, stretch.reach, earlier)
        self.floor = max(self.floor, min(stretch.floor, self.tail.base))

    # --- who waits ------------------------------------------------------------------------------

    def hold_tail(self) -> None:
        """Keep what comes, and what the next page brings, until everybody who waits for it has looked."""
        self._holders += 1
        self.tail.held = True

    def release_tail(self) -> None:
        """The opposite of `hold_tail`."""
        self._holders -= 1
        if not self._holders:
            self.tail.held = False
            self.tail.trim()

    async def change(self) -> None:
        """Wait until something about this channel changed.

        Raises:
            BrokerError: what was waited for failed meanwhile.
        """
        failures = self.failures
        await self._parked.park()
        if self.failures != failures and self.failure is not None:
            # One exception object per waiter: a shared one would collect all their tracebacks.
            raise type(self.failure)(*self.failure.args)

    def changed(self) -> None:
        """Wake everybody in `change`."""
        self._parked.unpark_all()

    def fail(self, error: BrokerError) -> None:
        """Wake everybody in `change` with an error."""
        self.failure = error
        self.failures += 1
        self.changed()

    def restart(self) -> None:
        """Forget position and tail; live messages wait for the next head, which opens the channel again."""
        sizes = self._sizes
        self.chain = Chain(_WAITING_MAX, sizes.tail_bytes)
        self.tail = Tail(min(sizes.tail, self.history_size), sizes.tail_bytes)
        self.tail.held = self._holders > 0
        self.floor = 0
        self.verified = -1
        self.wanted = set()
        self.pages += 1
        self.changed()


def publication_of(live: Live) -> Publication:
    """A live or stored message as clients get it."""
    message = live.message
    return Publication(Raw(message.data), message.info, live.offset, message.tags or {})
