"""What a request for `/sse` says: its channels, and where its client stands in them."""

from node.protocol.errors import CommandError
from node.protocol.event_stream import UNKNOWN_POSITION, decode_positions, positions_fit
from node.protocol.messages import StreamPosition
from node.protocol.reasons import UNKNOWN_CHANNEL
from node.session import Parts
from node.transports.refusal import Refusal
from node.transports.request import Head

# As long as an epoch may be, to see whether positions fit into an event id before they are known.
_LONGEST_EPOCH = "e" * 32


def plain_request(head: Head, parts: Parts) -> tuple[list[str], dict[str, StreamPosition]]:
    """The channels a plain request names, each once, and where its client stands in them.

    The position is the `Last-Event-ID` header, which EventSource sends when it reconnects, else the
    parameter `last_event_id`.

    Raises:
        Refusal: 400 or 404, where another request is needed.
    """
    channels = list(dict.fromkeys(head.query_all("channel")))
    if not channels:
        raise Refusal(400, "channel", "name at least one channel: /sse?channel=news")
    if len(channels) > parts.config.client.channel_limit:
        raise Refusal(400, "channel", f"more than {parts.config.client.channel_limit} channels")
    keeping = [channel for channel in channels if _keeps_history(channel, parts)]
    if not positions_fit(dict.fromkeys(keeping, StreamPosition(0, _LONGEST_EPOCH))):
        raise Refusal(400, "channel", "the channels' names are too long together; open several streams")
    seen = decode_positions(head.header("last-event-id") or head.query("last_event_id"))
    if seen is None:
        # Not an id of ours: the client has missed something, and nobody can say what.
        return channels, dict.fromkeys(keeping, UNKNOWN_POSITION)
    return channels, {channel: seen[channel] for channel in keeping if channel in seen}


def _keeps_history(channel: str, parts: Parts) -> bool:
    try:
        return parts.rules.resolve(channel).options.keeps_history
    except CommandError as error:
        status = 404 if error.error is UNKNOWN_CHANNEL else 400
        raise Refusal(status, "channel", error.detail or error.error.message) from None
