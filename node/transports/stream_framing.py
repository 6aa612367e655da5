"""How replies and pushes look in the body of a response that does not end: events, lines, Protobuf.

The response has no Content-Length and no chunks: it ends with its connection (RFC 9112, section 6.3), so
a message is the same bytes for every client, without a length in front of it.
"""

import json
import re
from collections.abc import Callable, Sequence

from node.protocol.codec import Codec
from node.protocol.event_stream import sse_event
from node.protocol.json_codec import JSON_CODEC
from node.protocol.messages import PING, Publication, Push, Reply
from node.protocol.protobuf_codec import PROTOBUF_CODEC

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


class StreamFraming:
    """Replies and pushes for clients of one kind; see hub.Framing.

    Args:
        codec: the encoding.
        wrap: makes one encoded message a part of the stream.

    Attributes:
        ping: ready for the wire.
    """

    __slots__ = ("codec", "ping", "wrap")

    def __init__(self, codec: Codec, wrap: Callable[[bytes], bytes]) -> None:
        self.codec = codec
        self.wrap = wrap
        self.ping = self.reply(PING)

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return self.reply(Reply(push=Push(channel=channel, pub=publication)))

    def reply(self, reply: Reply) -> bytes:
        """One reply or push.

        Raises:
            UnencodablePayload: a payload cannot travel in this encoding.
        """
        return self.wrap(self.codec.encode_reply(reply))

    def join(self, frames: Sequence[bytes]) -> bytes:
        """See hub.Framing."""
        return b"".join(frames)


class PushFraming(StreamFraming):
    """For unidirectional clients, who are sent bare pushes; an empty one is a ping."""

    __slots__ = ()

    def reply(self, reply: Reply) -> bytes:
        """See StreamFraming; what is no push is nothing to these clients."""
        if reply.push is None and reply is not PING:
            return b""
        return self.wrap(self.codec.encode_push(reply.push or Push()))


def ascii_line(message: bytes) -> bytes:
    """A JSON text as a line in which everything but ASCII is escaped.

    Released centrifuge-js decode each chunk they read by itself: a character whose bytes fall into two of
    them would be lost. Outside of strings JSON is ASCII, and inside escapes mean the same.
    """
    if not message.isascii():
        escaped = _NOT_ASCII.sub(lambda run: json.dumps(run[0])[1:-1], message.decode())
        message = escaped.encode()
    return message + b"\n"


def _as_it_is(message: bytes) -> bytes:
    return message


SSE_JSON = StreamFraming(JSON_CODEC, sse_event)
LINES_JSON = StreamFraming(JSON_CODEC, ascii_line)
# Each message has its length in front of it already.
STREAM_PROTOBUF = StreamFraming(PROTOBUF_CODEC, _as_it_is)
UNI_SSE = PushFraming(JSON_CODEC, sse_event)
UNI_LINES = PushFraming(JSON_CODEC, ascii_line)
