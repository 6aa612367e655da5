"""The writing half of clients that read an event stream and only that: they are told when to come back."""

import random
import socket

from node.protocol.event_stream import sse_retry
from node.protocol.messages import Disconnect, Push, Reply
from node.protocol.reasons import DisconnectReason
from node.session import Parts
from node.transports.stream_framing import UNI_SSE
from node.transports.stream_transport import StreamTransport


def retry_line(retry_ms: int) -> bytes:
    """Tell a client how long to wait before it comes back: uniform between the setting and twice that."""
    return sse_retry(random.randint(retry_ms, 2 * retry_ms))  # noqa: S311 - spreading load is no secret


class SseTransport(StreamTransport):
    """One client's event stream; see StreamTransport."""

    __slots__ = ()
    unidirectional = True

    def start(self, head: bytes) -> None:
        """See StreamTransport."""
        super().start(head + self._retry_line())

    def close(self, reason: DisconnectReason) -> None:
        """See Transport: a disconnect event, and how long to stay away."""
        goodbye = self.encode(Reply(push=Push(disconnect=Disconnect(reason.code, reason.reason))))
        self.outbox.finish(self._retry_line() + goodbye)

    def _retry_line(self) -> bytes:
        return retry_line(self.session.parts.config.uni_sse.retry_ms)


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
        """See StreamTransport."""
        return UNI_SSE.reply(reply)

    def ping(self) -> None:
        """See Transport."""
        self.outbox.write(UNI_SSE.ping)
