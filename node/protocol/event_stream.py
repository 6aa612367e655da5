"""The text/event-stream format, and positions as event ids, for `EventSource` clients.

A browser remembers only the id of the last event and sends it back as `Last-Event-ID` when it
reconnects. So each id holds the positions of all channels of its client:

    epoch:channel=offset,channel=offset;epoch:channel=offset

Names and epochs are percent-encoded, so the id is ASCII without line ends and can be a header's value.
Channels of one stream share an epoch, which is written once.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from node.protocol.errors import LocalProtocolError
from node.protocol.messages import StreamPosition

# Common proxies take 8 kB for one header line, its name included.
EVENT_ID_BYTES_MAX = 8_000

# A position that no history has: recovery from it is answered with `recovered: false`.
UNKNOWN_POSITION = StreamPosition(0, "_")

# A comment: keeps proxies from closing a quiet stream, and no event.
SSE_PING = b":\n\n"

# Offsets stay below 2**53; 2**63 has nineteen digits.
_OFFSET_DIGITS_MAX = 19
_LARGEST_OFFSET = 2**53 - 1

# HTML standard, 9.2.5: end-of-line = ( CR LF / CR / LF ).
_LINE_END = re.compile(rb"\r\n|\r|\n")


def sse_event(data: bytes, event: str = "", event_id: str = "") -> bytes:
    """One event, complete with the empty line that dispatches it.

    HTML standard, 9.2.6: the client joins several `data` lines by a newline and takes one space after a
    field's colon away. An event without an id leaves the last id as it is, so `sse_id` may also be written
    in front of an event that many clients share.

    Args:
        data: UTF-8; its line ends arrive as newlines.
        event: the name listeners use; "" is "message".
        event_id: see `encode_positions`.

    Raises:
        LocalProtocolError: a name or id that would end its line.
    """
    head = sse_id(event_id)
    if event:
        head += b"event: " + _one_line(event) + b"\n"
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return head + b"data: " + data + b"\n\n"


def sse_id(event_id: str) -> bytes:
    """The line that gives the event after it an id; nothing for "".

    Raises:
        LocalProtocolError: an id that would end its line.
    """
    return b"id: " + _one_line(event_id) + b"\n" if event_id else b""


def sse_retry(delay_ms: int) -> bytes:
    """Tell the client how long to wait, milliseconds, before it reconnects."""
    return b"retry: %d\n\n" % delay_ms


def _one_line(value: str) -> bytes:
    # A client ignores an id with a NUL in it: recovery would silently start somewhere else.
    if "\n" in value or "\r" in value or "\0" in value:
        raise LocalProtocolError(f"a line end or NUL in an event's name or id: {value!r}")
    return value.encode()


def encode_positions(positions: Mapping[str, StreamPosition]) -> str:
    """The positions of one client's channels as an event id; "" for none.

    Args:
        positions: by channel; ask `positions_fit` once before the first event.
    """
    by_epoch: dict[str, list[str]] = {}
    for channel, position in positions.items():
        by_epoch.setdefault(position.epoch, []).append(f"{quote(channel, safe='')}={position.offset}")
    return ";".join(f"{quote(epoch, safe='')}:{','.join(entries)}" for epoch, entries in by_epoch.items())


def positions_fit(positions: Mapping[str, StreamPosition]) -> bool:
    """Whether these channels' positions will fit into an event id, however far their offsets grow."""
    largest = {channel: StreamPosition(_LARGEST_OFFSET, at.epoch) for channel, at in positions.items()}
    return len(encode_positions(largest)) <= EVENT_ID_BYTES_MAX


def decode_positions(event_id: str) -> dict[str, StreamPosition] | None:
    """What a client says it has, by channel; {} for an empty id.

    An `EventSource` gives up for good when it is refused, and its user cannot change what it sends. So
    an id that is not one of ours is no error: it is None, and every channel should then be recovered from
    UNKNOWN_POSITION, which tells the client that something may be missing.

    Args:
        event_id: the value of `Last-Event-ID`.
    """
    if not event_id:
        return {}
    if len(event_id) > EVENT_ID_BYTES_MAX or not event_id.isascii():
        return None
    positions: dict[str, StreamPosition] = {}
    try:
        for group in event_id.split(";"):
            epoch, _, entries = group.partition(":")
            for entry in entries.split(","):
                channel, _, offset = entry.partition("=")
                if not (channel and offset.isdigit() and len(offset) <= _OFFSET_DIGITS_MAX):
                    return None
                position = StreamPosition(int(offset), unquote(epoch, errors="strict"))
                positions[unquote(channel, errors="strict")] = position
    except UnicodeDecodeError:
        return None
    return positions
