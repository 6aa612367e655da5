"""A channel's history as the API and clients may see it.

Source: the client protocol, sections 4.6 and 6 of the reference. The store keeps more than readers see:
messages beyond history_size and history_ttl, and those below a tombstone for a moment.

What a limit counts is what is left after these, so the store is read whole. Where the channel is open on
this node that is seldom needed: its tail has the newest ones, and the store's head says that none is missing.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from node.broker.interface import Head, Page
from node.config.options import ChannelOptions
from node.history.channel import Channel, publication_of
from node.history.recovery import visible
from node.history.tail import Tail
from node.protocol.errors import CommandError
from node.protocol.messages import HistoryResult, Publication, StreamPosition
from node.protocol.reasons import BAD_REQUEST, UNRECOVERABLE_POSITION


class Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        limit: publications at most; 0 asks for the position only, -1 for all.
        since: exclusive; with `reverse` what is older than it. An empty epoch stands for any.
        reverse: newest first.
    """

    limit: int
    since: StreamPosition | None
    reverse: bool

    @property
    def after(self) -> int:
        """All that is asked for lies above this offset."""
        return self.since.offset if self.since is not None and not self.reverse else 0

    def of(self, publications: Sequence[Publication]) -> list[Publication]:
        """Those of some publications that are asked for, in the order they are asked for."""
        chosen = [publication for publication in publications if publication.offset > self.after]
        if self.reverse:
            chosen.reverse()
            if self.since is not None:
                chosen = [publication for publication in chosen if publication.offset < self.since.offset]
        return chosen[: self.limit] if self.limit >= 0 else chosen


async def read_history(
    heads: Callable[[str], Awaitable[Head]],
    pages: Callable[[tuple[str, int]], Awaitable[Page]],
    channel: str,
    options: ChannelOptions,
    wanted: Wanted,
    *,
    opened: Channel | None,
    now_ms: float,
) -> HistoryResult:
    """A page of history, with the channel's top position.

    Args:
        heads: the store's head of a channel.
        pages: all that the store has of a channel above an offset.
        channel: its name.
        options: of its namespace, which keeps history.
        wanted: what is asked for.
        opened: the channel where it has subscribers on this node.
        now_ms: the time, milliseconds since 1970.

    Raises:
        CommandError: BAD_REQUEST, `reverse` from offset 0; UNRECOVERABLE_POSITION, `since` is of another
            epoch.
        BrokerError: the store did not answer, or answered no.
    """
    since = wanted.since
    if wanted.reverse and since is not None and since.offset == 0:
        raise CommandError(BAD_REQUEST, "there is nothing before offset 0")
    known = opened.top if opened is not None else StreamPosition()
    oldest_ms = now_ms - float(options.history_ttl) * 1000
    publications: list[Publication] | None = None
    if wanted.limit == 0:
        head = await heads(channel)
        publications = []
    elif opened is not None and _of_tail(opened.tail, options.history_size, oldest_ms, wanted) is not None:
        head = await heads(channel)
        if opened.chain.epoch == head.epoch and opened.chain.seen >= head.offset:
            publications = _of_tail(opened.tail, options.history_size, oldest_ms, wanted)
            known = opened.top
    if publications is None:
        page = await pages((channel, wanted.after))
        head = page.head
        messages = visible(page.messages, options.history_size, float(options.history_ttl), now_ms)
        publications = wanted.of([publication_of(message) for message in messages])
    if since is not None and since.epoch and since.epoch != head.epoch:
        raise CommandError(UNRECOVERABLE_POSITION, "the position is of another epoch")
    top = head.offset or head.up_to
    if known.epoch == head.epoch:
        # Heads may come from a replica that lags behind what this node has delivered.
        top = max(top, known.offset)
    return HistoryResult(tuple(publications), head.epoch, top)


def _of_tail(tail: Tail, size: int, oldest_ms: float, wanted: Wanted) -> list[Publication] | None:
    """What a tail has of that, None if there may be more of it in the store."""
    entries = (tail.since(tail.base) or [])[-size:]
    shown = [entry.publication for entry in entries if entry.time_ms >= oldest_ms]
    found = wanted.of(shown)
    # What is older than one that has expired has expired, too.
    whole = len(entries) == size or len(shown) < len(entries)
    enough = wanted.reverse and 0 <= wanted.limit <= len(found)
    return found if whole or enough or (not wanted.reverse and wanted.after >= tail.base) else None
