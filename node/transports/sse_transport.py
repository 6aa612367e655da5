"""The writing half of clients that read an event stream, and how `/connection/uni_sse` fills it.

The response has no Content-Length and no chunks: it ends with its connection (RFC 9112, section 6.3), so
an event is the same bytes for every client, without a length in front of it.
"""

import random
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress

from node.hub import Framing
from node.outbox import Outbox
from node.protocol.errors import UnencodablePayload
from node.protocol.event_stream import sse_event, sse_retry
from node.protocol.json_codec import JSON_CODEC
from node.protocol.messages import Disconnect, Publication, Push, Reply
from node.protocol.reasons import DisconnectReason
from node.session import Parts, Session
from node.transports.held_outbox import HeldOutbox


def retry_line(retry_ms: int) -> bytes:
    """Tell a client how long to wait before it comes back: uniform between the setting and twice that."""
    return sse_retry(random.randint(retry_ms, 2 * retry_ms))  # noqa: S311 - spreading load is no secret


class UniSseFraming:
    """Publications as bare pushes in events without a name; see hub.Framing."""

    __slots__ = ()

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return sse_event(JSON_CODEC.encode_push(Push(channel=channel, pub=publication)))

    def join(self, frames: Sequence[bytes]) -> bytes:
        """See hub.Framing."""
        return b"".join(frames)


UNI_SSE = UniSseFraming()
_PING = sse_event(JSON_CODEC.encode_push(Push()))


class SseTransport(ABC):
    """One client's event stream; see session.Transport and outbox.OutboxOwner.

    Nothing is sent before `start`.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
        framing: how publications look.

    Attributes:
        refused: why the session was closed, if that is to be an HTTP status and not an event.
    """

    __slots__ = ("_held", "_sock", "framing", "outbox", "refused", "session")
    name: str
    native_ping: bool
    unidirectional = True

    def __init__(self, sock: socket.socket, parts: Parts, framing: Framing) -> None:
        self._sock = sock
        self._held = HeldOutbox(sock, parts.writers, self)
        self.framing = framing
        self.outbox: Outbox = self._held
        self.refused: DisconnectReason | None = None
        self.session = Session(self, parts)

    def start(self, head: bytes) -> None:
        """Let the stream begin.

        Args:
            head: the response's head.
        """
        retry_ms = self.session.parts.config.uni_sse.retry_ms
        self._held.release(head + retry_line(retry_ms))

    @abstractmethod
    def encode(self, reply: Reply) -> bytes:
        """A reply or push as events; raises UnencodablePayload."""

    @abstractmethod
    def ping(self) -> None:
        """See Transport."""

    def send(self, reply: Reply) -> None:
        """See Transport."""
        try:
            events = self.encode(reply)
        except UnencodablePayload:
            self.session.payload_unencodable(reply.push.channel if reply.push else "")
            return
        self.session.parts.metrics.bytes_out += len(events)
        self._held.answer(events)

    def close(self, reason: DisconnectReason) -> None:
        """See Transport: a disconnect event, and how long to stay away."""
        goodbye = self.encode(Reply(push=Push(disconnect=Disconnect(reason.code, reason.reason))))
        self.outbox.finish(retry_line(self.session.parts.config.uni_sse.retry_ms) + goodbye)

    def abort(self) -> None:
        """See Transport. The reader finds the end of the stream."""
        self.outbox.abort()
        self._shut(socket.SHUT_RDWR)

    def outbox_overflowed(self) -> None:
        """See OutboxOwner."""
        self.session.slow()

    def outbox_broken(self, error: Exception) -> None:  # noqa: ARG002 - which way it broke changes nothing
        """See OutboxOwner."""
        self.abort()

    def outbox_flushed(self) -> None:
        """See OutboxOwner: the stream ends; its client then ends the connection, or the session does."""
        self._shut(socket.SHUT_WR)

    def _shut(self, how: int) -> None:
        # OSError: the peer has gone already, which the reader finds out by itself.
        with suppress(OSError):
            self._sock.shutdown(how)


class UniSseTransport(SseTransport):
    """One client of `/connection/uni_sse`.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
    """

    __slots__ = ()
    name = "uni_sse"
    native_ping = False

    def __init__(self, sock: socket.socket, parts: Parts) -> None:
        super().__init__(sock, parts, UNI_SSE)

    def encode(self, reply: Reply) -> bytes:
        """See SseTransport; a client of this transport is only ever sent pushes."""
        return sse_event(JSON_CODEC.encode_push(reply.push)) if reply.push is not None else b""

    def ping(self) -> None:
        """See Transport."""
        self.outbox.write(_PING)
