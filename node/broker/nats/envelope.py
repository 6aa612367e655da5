"""A publication as a NATS message and back. Pure; nothing here knows a connection.

The payload is the publication's data as it is, so that anybody may publish to a channel with any NATS client.
What else a publication has is in headers, one JSON document of ASCII each:

    Broadcast-Info       {"user":..., "client":..., "conn_info":..., "chan_info":...}, the last two base64
    Broadcast-Tags       {"name":"value", ...}
    Broadcast-Tombstone  1: history was removed here; the payload is empty
    Nats-Msg-Id          the channel's and the idempotency key's tokens (subjects.escape) with a `.` between

The server adds Nats-Stream, Nats-Subject, Nats-Sequence, Nats-Time-Stamp and Nats-Last-Sequence, in this
order and behind everything the publisher wrote: headers of these names before that are the publisher's own
and are not believed.
A header that cannot be read costs the publication that attribute, never the delivery.
"""

import calendar
import hashlib
import json
from functools import lru_cache, partial

import msgspec

from node.broker.interface import Live, Message
from node.broker.nats.subjects import escape
from node.protocol.json_text import UNDECODABLE
from node.protocol.messages import ClientInfo

INFO = b"Broadcast-Info"
TAGS = b"Broadcast-Tags"
TOMBSTONE = b"Broadcast-Tombstone"
EXPECTED_HEAD = b"Nats-Expected-Last-Subject-Sequence"

_OPENING = b"NATS/1.0\r\n"
_OURS = b"\r\nBroadcast-"
_SERVERS = b"\r\nNats-Stream: "
_SEQUENCE = b"\r\nNats-Sequence: "
_LAST_SEQUENCE = b"\r\nNats-Last-Sequence: "
_TIME_STAMP = b"\r\nNats-Time-Stamp: "
# A longer id is hashed: servers keep every id of the duplicate window in memory.
_MESSAGE_ID_CHARS_MAX = 128


class _Info(msgspec.Struct, frozen=True, omit_defaults=True):
    user: str = ""
    client: str = ""
    conn_info: bytes = b""
    chan_info: bytes = b""


_decode_info = msgspec.json.Decoder(_Info).decode
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode
# A named tuple's own constructor is a function in Python: a quarter of what reading a plain message takes.
_new_message, _new_live = partial(tuple.__new__, Message), partial(tuple.__new__, Live)


def message_id(channel: str, key: str) -> bytes:
    """The Nats-Msg-Id of an idempotency key.

    Duplicates are looked for per stream, so the channel is part of it. Neither token can contain a `.`:
    two different pairs have different ids, and none has that of `random_message_id`.
    """
    token = f"{escape(channel)}.{escape(key)}"
    if len(token) > _MESSAGE_ID_CHARS_MAX:
        token = f"..{hashlib.blake2b(token.encode(), digest_size=32).hexdigest()}"
    return token.encode()


def random_message_id(origin: str, number: int) -> bytes:
    """The Nats-Msg-Id of a message without a key: only its own retries have the same.

    Args:
        origin: random, of this process.
        number: never used before with this origin.
    """
    return b".%b.%d" % (origin.encode(), number)


def encode_headers(
    message: Message, nats_message_id: bytes = b"", *, expected_head: int | None = None
) -> bytes:
    """The header block of a publication, b"" where it needs none.

    Args:
        message: whose attributes become headers; its data is the payload.
        nats_message_id: b"" for a message that is not stored.
        expected_head: store only if the channel's newest message has this sequence (0: none is stored).
    """
    fields = []
    if nats_message_id:
        fields.append(b"Nats-Msg-Id: %b\r\n" % nats_message_id)
    if message.info is not None:
        fields.append(b"%b: %b\r\n" % (INFO, _info_document(message.info)))
    if message.tags:
        fields.append(b"%b: %b\r\n" % (TAGS, _ascii(message.tags)))
    if expected_head is not None:
        fields.append(b"%b: %d\r\n" % (EXPECTED_HEAD, expected_head))
    return _OPENING + b"".join(fields) + b"\r\n" if fields else b""


def encode_tombstone(nats_message_id: bytes, expected_head: int) -> bytes:
    """The header block of a tombstone."""
    block = encode_headers(Message(b""), nats_message_id, expected_head=expected_head)
    return block[:-2] + TOMBSTONE + b": 1\r\n\r\n"


class Decoder:
    """Reads messages of the feed and of direct gets; never raises.

    Attributes:
        undecodable: headers of the `Broadcast-` family that were not what this module writes. Their
            messages were delivered without that attribute.
    """

    __slots__ = ("undecodable",)

    def __init__(self) -> None:
        self.undecodable = 0

    def decode(self, headers: bytes, payload: bytes) -> Live:
        """A message as the interface wants it; offset 0 when no stream stored it."""
        if not headers:
            return _new_live((_new_message((payload, None, None)), 0, 0, 0, False))
        servers = headers.rfind(_SERVERS)
        end = servers if servers >= 0 else len(headers)
        ours = headers.find(_OURS, 0, end)
        if ours < 0:
            return _placed(_new_message((payload, None, None)), headers, servers, tombstone=False)
        info, tags, tombstone = None, None, False
        for line in headers[ours + 2 : end].split(b"\r\n"):
            name, _, value = line.partition(b":")
            try:
                if name == INFO:
                    info = _info_of(value)
                elif name == TAGS:
                    tags = _decode_tags(value)
                elif name == TOMBSTONE:
                    tombstone = True
            except UNDECODABLE:
                self.undecodable += 1
        return _placed(Message(payload, info, tags), headers, servers, tombstone=tombstone)


def server_value(headers: bytes, name: bytes) -> bytes:
    """The value of a header the server wrote into a stored or status message, b"" where it is missing.

    Args:
        headers: a raw block.
        name: without the colon.
    """
    # The server writes behind the publisher, so the last one of a name is the server's.
    mark = b"\r\n%b: " % name
    at = headers.rfind(mark)
    if at < 0:
        return b""
    start = at + len(mark)
    return headers[start : headers.find(b"\r\n", start)]


def server_number(headers: bytes, name: bytes) -> int:
    """Like `server_value`, as a number; 0 where it is missing or is none."""
    value = server_value(headers, name)
    return int(value) if value.isdigit() else 0


def _placed(message: Message, headers: bytes, servers: int, *, tombstone: bool) -> Live:
    if servers < 0:
        return Live(message)
    # Searched from the server's own block on: at most five lines of known length.
    at = headers.find(_SEQUENCE, servers)
    if at < 0:
        return Live(message)
    offset = _number(headers, at + len(_SEQUENCE))
    at = headers.find(_LAST_SEQUENCE, servers)
    previous = _number(headers, at + len(_LAST_SEQUENCE)) if at >= 0 else 0
    at = headers.find(_TIME_STAMP, servers)
    if at < 0:
        return Live(message, offset, previous, 0, tombstone)
    start = at + len(_TIME_STAMP)
    at_ms = time_ms(headers[start : headers.find(b"\r\n", start)])
    return _new_live((message, offset, previous, at_ms, tombstone))


def _number(headers: bytes, start: int) -> int:
    digits = headers[start : headers.find(b"\r\n", start)]
    return int(digits) if digits.isdigit() else 0


def time_ms(stamp: bytes) -> int:
    """Milliseconds since 1970 of a time as NATS writes it; 0 if it is none.

    That is RFC 3339 (section 5.6) in UTC with up to nine decimals; Go leaves out their trailing zeros.
    """
    decimals = stamp[20:-1]
    if not stamp.endswith(b"Z") or not (decimals.isdigit() or not decimals):
        return 0
    return _second(stamp[:19]) * 1000 + int(decimals[:3].ljust(3, b"0"))


@lru_cache(maxsize=64)
def _second(stamp: bytes) -> int:
    # Messages of one second share it: the calendar is the dear part.
    try:
        date, _, clock = stamp.partition(b"T")
        year, month, day = (int(part) for part in date.split(b"-"))
        hour, minute, second = (int(part) for part in clock.split(b":"))
        return calendar.timegm((year, month, day, hour, minute, second))
    except ValueError:
        return 0


def _info_document(info: ClientInfo) -> bytes:
    # base64 for the two free payloads: they may be binary, or JSON with line ends in it.
    return _ascii(
        msgspec.to_builtins(_Info(info.user, info.client, bytes(info.conn_info), bytes(info.chan_info)))
    )


def _info_of(document: bytes) -> ClientInfo:
    found = _decode_info(document)
    return ClientInfo(found.user, found.client, msgspec.Raw(found.conn_info), msgspec.Raw(found.chan_info))


def _ascii(document: object) -> bytes:
    # The stdlib escapes everything outside ASCII, which keeps header values safe; msgspec writes UTF-8.
    return json.dumps(document, separators=(",", ":")).encode("ascii")
