"""A channel's history as the API and clients may see it.

Source: the client protocol, sections 4.6 and 6 of the reference. The store keeps more than readers see:
messages beyond history_size and history_ttl, and those below a tombstone for a moment.
"""

from node.broker.interface import Broker
from node.config.options import ChannelOptions
from node.history.channel import publication_of
from node.history.recovery import visible
from node.protocol.errors import CommandError
from node.protocol.messages import HistoryResult, StreamPosition
from node.protocol.reasons import BAD_REQUEST, UNRECOVERABLE_POSITION


async def read_history(
    broker: Broker,
    channel: str,
    options: ChannelOptions,
    *,
    limit: int,
    since: StreamPosition | None,
    reverse: bool,
    known: StreamPosition,
    now_ms: float,
) -> HistoryResult:
    """A page of history, with the channel's top position.

    Args:
        broker: what is read from.
        channel: its name.
        options: of its namespace, which keeps history.
        limit: publications at most; 0 asks for the position only, -1 for all.
        since: exclusive; with `reverse` what is older than it. An empty epoch stands for any.
        reverse: newest first.
        known: a position the channel is known to have reached; offset 0 if none is.
        now_ms: the time, milliseconds since 1970.

    Raises:
        CommandError: BAD_REQUEST, `reverse` from offset 0; UNRECOVERABLE_POSITION, `since` is of another
            epoch.
        BrokerError: the store did not answer, or answered no.
    """
    if reverse and since is not None and since.offset == 0:
        raise CommandError(BAD_REQUEST, "there is nothing before offset 0")
    size = options.history_size
    after = since.offset if since is not None and not reverse else 0
    if limit == 0:
        head = (await broker.heads([channel]))[channel]
        messages = []
    else:
        # All of it, since what the limit counts is what is left after the expired and the removed.
        page = await broker.read(channel, after, size + 2, at_least=known.offset)
        head = page.head
        messages = visible(page.messages, size, float(options.history_ttl), now_ms)
    if since is not None and since.epoch and since.epoch != head.epoch:
        raise CommandError(UNRECOVERABLE_POSITION, "the position is of another epoch")
    if reverse:
        messages.reverse()
        if since is not None:
            messages = [message for message in messages if message.offset < since.offset]
    if limit > 0:
        messages = messages[:limit]
    publications = tuple(publication_of(message) for message in messages)
    top = head.offset or head.up_to
    if known.epoch == head.epoch:
        # Heads may come from a replica that lags behind what this node has delivered.
        top = max(top, known.offset)
    return HistoryResult(publications, head.epoch, top)
