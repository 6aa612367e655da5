"""The writing half of clients that read a response without an end; what it looks like is `stream_framing`.

Nothing is sent before `start`: until then it is open whether the answer is a stream or a status.
"""

import socket
from abc import ABC, abstractmethod
from contextlib import suppress

from node.hub import Framing
from node.outbox import Outbox
from node.protocol.errors import UnencodablePayload
from node.protocol.messages import Disconnect, Push, Reply
from node.protocol.reasons import DisconnectReason
from node.session import Parts, Session
from node.transports.held_outbox import HeldOutbox
from node.transports.request import Connection
from node.transports.stream_framing import UNI_LINES, StreamFraming

# What a client may still send on a connection where it only listens.
IGNORED_BYTES_MAX = 65_536


def stream_head(content_type: str, fields: str) -> bytes:
    """The head of a response without an end, which no proxy is to store or collect.

    Source: the protocol reference, section 2.3.

    Args:
        content_type: of the stream.
        fields: further header lines, each with its CRLF.
    """
    return (
        "HTTP/1.1 200 OK\r\n"
        f"Content-Type: {content_type}\r\n"
        "Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n"
        "Pragma: no-cache\r\n"
        "X-Accel-Buffering: no\r\n"
        "Connection: close\r\n"
        f"{fields}\r\n"
    ).encode()


class StreamTransport(ABC):
    """One client's stream; see session.Transport and outbox.OutboxOwner.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
        framing: how publications look.

    Attributes:
        refused: why the session was closed, if that is to be an HTTP status and no part of the stream.
    """

    __slots__ = ("_held", "_sock", "framing", "outbox", "refused", "session")
    name: str
    native_ping: bool
    unidirectional: bool

    def __init__(self, sock: socket.socket, parts: Parts, framing: Framing) -> None:
        self._sock = sock
        held = HeldOutbox(sock, parts.writers, self)
        # None once the stream has begun.
        self._held: HeldOutbox | None = held
        self.framing = framing
        self.outbox: Outbox = held
        self.refused: DisconnectReason | None = None
        self.session = Session(self, parts)

    def start(self, head: bytes) -> None:
        """Let the stream begin.

        Args:
            head: the response's head.
        """
        held, self._held = self._held, None
        if held is not None:
            held.release(head)

    async def listen(self, connection: Connection) -> None:
        """Return when the client has gone: it has nothing to say here, so the end of its stream is its end.

        Args:
            connection: the client's.
        """
        ignored = 0
        while ignored <= IGNORED_BYTES_MAX and (data := await connection.receive()):
            ignored += len(data)
            self.session.parts.metrics.bytes_in += len(data)

    def end(self) -> None:
        """The connection is over."""
        self.outbox.abort()
        self.session.end()

    @abstractmethod
    def encode(self, reply: Reply) -> bytes:
        """A reply or push as part of the stream; raises UnencodablePayload."""

    @abstractmethod
    def ping(self) -> None:
        """See Transport."""

    def send(self, reply: Reply) -> None:
        """See Transport."""
        try:
            data = self.encode(reply)
        except UnencodablePayload:
            self.session.payload_unencodable(reply.push.channel if reply.push else "")
            return
        self.session.parts.metrics.bytes_out += len(data)
        if self._held is None:
            self.outbox.write(data)
        else:
            self._held.answer(data)

    def close(self, reason: DisconnectReason) -> None:
        """See Transport: a disconnect push, then the end of the stream."""
        self.outbox.finish(self.encode(Reply(push=Push(disconnect=Disconnect(reason.code, reason.reason)))))

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


class FramedTransport(StreamTransport):
    """A stream whose framing knows all of its messages."""

    __slots__ = ("_messages",)
    native_ping = False

    def __init__(self, sock: socket.socket, parts: Parts, framing: StreamFraming) -> None:
        self._messages = framing
        super().__init__(sock, parts, framing)

    def encode(self, reply: Reply) -> bytes:
        """See StreamTransport."""
        return self._messages.reply(reply)

    def ping(self) -> None:
        """See Transport."""
        self.outbox.write(self._messages.ping)


class UniHttpStreamTransport(FramedTransport):
    """One client of `/connection/uni_http_stream`.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
    """

    __slots__ = ()
    name = "uni_http_stream"
    unidirectional = True

    def __init__(self, sock: socket.socket, parts: Parts) -> None:
        super().__init__(sock, parts, UNI_LINES)
