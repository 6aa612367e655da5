"""When a node looks at its streams again: when something was heard of one, and before a marker expires."""

from collections.abc import Callable

import trio

from node.broker.interface import BrokerError, BrokerUnavailable
from node.broker.nats.feed import Feed
from node.broker.nats.keeper import Keeper, Stream
from node.broker.nats.patience import Patience
from node.broker.nats.protocol import Msg
from node.broker.nats.subjects import Partition

# Markers are looked at often enough to be written again long before a stream drops them.
_CHECKS_PER_MAX_AGE = 8
_CHECK_INTERVAL_MAX_S = 3600.0
_CHECK_RETRY_S = 1.0
# Doubts that come faster than this share a check.
_CHECK_PAUSE_S = 0.01
_ADVISORIES = "$JS.EVENT.ADVISORY.STREAM"
_LEADER_ELECTED = f"{_ADVISORIES}.LEADER_ELECTED.".encode()


class Watch:
    """See the module.

    Args:
        feed: brings what servers tell of streams.
        keeper: looks at them.
        deadline_s: how long a look may take, seconds.
        heads_suspect: called when a leader was elected; returns at once.
    """

    def __init__(
        self, feed: Feed, keeper: Keeper, *, deadline_s: float, heads_suspect: Callable[[], None]
    ) -> None:
        self._feed = feed
        self._keeper = keeper
        self._deadline_s = deadline_s
        self._heads_suspect = heads_suspect
        self._doubted = trio.Event()
        self._heard: set[Partition] = set()

    def listen(self) -> None:
        """Hear what is told of the keeper's streams, and have those that are new looked at."""
        self._doubted.set()
        for partition in self._keeper.streams.keys() - self._heard:
            self._heard.add(partition)
            name = self._keeper.streams[partition].name
            self._feed.subscribe(f"{_ADVISORIES}.*.{name}", self._advisory_of(partition))

    def doubt(self, stream: Stream) -> None:
        """Have a stream looked at soon."""
        stream.doubt()
        self._doubted.set()

    def doubt_all(self) -> None:
        """Have all of them looked at soon."""
        self._keeper.doubt_all()
        self._doubted.set()

    def _advisory_of(self, partition: Partition) -> Callable[[Msg], None]:
        def receive(msg: Msg) -> None:
            stream = self._keeper.streams.get(partition)
            if stream is None:
                return
            # Created, updated, deleted, a new leader, no quorum: whatever happened, look again.
            self.doubt(stream)
            if msg.subject.startswith(_LEADER_ELECTED):
                stream.live = 0
                self._heads_suspect()

        return receive

    async def run(self) -> None:
        """Look at the streams that are in doubt, and at all of them now and then; cancel to stop."""
        ages = [stream.history.meta_ttl_s for stream in self._keeper.streams.values()]
        interval_s = min([_CHECK_INTERVAL_MAX_S, *(age / _CHECKS_PER_MAX_AGE for age in ages)])
        while True:
            with trio.move_on_after(interval_s) as waiting:
                await self._doubted.wait()
            self._doubted = trio.Event()
            if waiting.cancelled_caught:
                self._keeper.doubt_all()
            if not self._feed.connected:
                continue
            pause_s = _CHECK_PAUSE_S
            # A look may show that there are more of them, or fewer.
            for stream in list(self._keeper.streams.values()):
                if stream.gone:
                    continue
                try:
                    await self._verify(stream, Patience(self._deadline_s))
                except BrokerError as error:
                    # Publishing and reading try by themselves; this goes on because a marker must not expire.
                    if self._feed.connected and not stream.gone:
                        self._keeper.failed(stream, str(error))
                    self._doubted.set()
                    pause_s = _CHECK_RETRY_S
            await trio.sleep(pause_s)

    async def _verify(self, stream: Stream, patience: Patience) -> None:
        while not stream.gone:
            try:
                await self._keeper.verify(stream, patience)
                return
            except BrokerUnavailable as error:
                await patience.pause(str(error))
