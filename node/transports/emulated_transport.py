"""The session of a client whose stream carries replies and pushes, and whose commands come as POSTs.

Whoever brings a frame of commands only leaves it here: the task that listens to the stream's connection
serves them one after another, so that order, deadlines and failures are those of any other transport.
"""

import socket
from collections import deque
from typing import NamedTuple

import trio
from msgspec.structs import replace

from node.protocol.messages import Reply
from node.protocol.reasons import SERVER_ERROR, DisconnectReason
from node.session import Parts
from node.transports.request import Connection
from node.transports.serving import serve_frame
from node.transports.stream_framing import LINES_JSON, SSE_JSON, STREAM_PROTOBUF, StreamFraming
from node.transports.stream_transport import IGNORED_BYTES_MAX, FramedTransport

# What may wait to be served for one client, bytes; and what a frame costs beside its own, so that thousands
# of tiny ones are bounded too.
_WAITING_BYTES_MAX = 262_144
_FRAME_BYTES = 512


class Form(NamedTuple):
    """What kind of stream it is.

    Attributes:
        name: the metric's label.
        framing: how messages look.
        content_type: of the response.
    """

    name: str
    framing: StreamFraming
    content_type: str


# `sse` alone is the label of the plain form, /sse.
SSE = Form("sse_emulation", SSE_JSON, "text/event-stream; charset=utf-8")
HTTP_STREAM_JSON = Form("http_stream", LINES_JSON, "application/json; charset=utf-8")
HTTP_STREAM_PROTOBUF = Form("http_stream", STREAM_PROTOBUF, "application/octet-stream")


class EmulatedTransport(FramedTransport):
    """One client of `/connection/sse` or `/connection/http_stream`.

    Released centrifuge-js come back without any delay if a stream's connect is answered with a temporary
    error or a disconnect that lets them come back. So before the stream has begun, either becomes the
    response's status (`refused`), after which they wait.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
        form: what it asked for.
    """

    __slots__ = ("_frames", "_key", "_listening", "_started", "_waiting_bytes", "name")
    unidirectional = False

    def __init__(self, sock: socket.socket, parts: Parts, form: Form) -> None:
        self.name = form.name
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._listening: trio.CancelScope | None = None
        self._started = False
        super().__init__(sock, parts, form.framing)
        self._key = parts.emulation.open(self.receive)

    def receive(self, frame: bytes) -> bool:
        """Take a frame of commands, to be served in its turn.

        Args:
            frame: in the stream's own encoding.

        Returns:
            False if too much waits already; then nothing of it is served.
        """
        if self.session.closed:
            # As on any connection that is being closed: nothing is looked at any more.
            return True
        cost = _FRAME_BYTES + len(frame)
        if self._frames and self._waiting_bytes + cost > _WAITING_BYTES_MAX:
            return False
        self._frames.append(frame)
        self._waiting_bytes += cost
        if self._listening is not None:
            self._listening.cancel()
        return True

    async def listen(self, connection: Connection) -> None:
        """See StreamTransport; serves commands meanwhile."""
        metrics = self.session.parts.metrics
        ignored = 0
        while ignored <= IGNORED_BYTES_MAX:
            while self._frames:
                frame = self._frames.popleft()
                self._waiting_bytes -= _FRAME_BYTES + len(frame)
                await serve_frame(self.session, self._messages.codec.decode_commands, frame)
            # Cancelling takes nothing of what the client sends here.
            with trio.CancelScope() as self._listening:
                data = await connection.receive()
            woken = self._listening.cancelled_caught
            self._listening = None
            if woken:
                continue
            if not data:
                return
            ignored += len(data)
            metrics.bytes_in += len(data)

    def start(self, head: bytes) -> None:
        """See StreamTransport."""
        self._started = True
        super().start(head)

    def end(self) -> None:
        """See StreamTransport."""
        self.session.parts.emulation.close(self._key)
        super().end()

    def send(self, reply: Reply) -> None:
        """See Transport."""
        if reply.connect is not None:
            node = self.session.parts.emulation.node
            reply = replace(reply, connect=replace(reply.connect, session=self._key, node=node))
        elif reply.error is not None and reply.error.temporary and not self._started:
            self.refused = SERVER_ERROR
            return
        super().send(reply)

    def close(self, reason: DisconnectReason) -> None:
        """See StreamTransport."""
        if reason.reconnect and not self._started:
            self.refused = reason
        else:
            super().close(reason)
