"""`/ws`: WebSocket for people without an SDK. One JSON text per frame, and pings are WebSocket's own."""

import socket

import structlog

from node.protocol.json_codec import JSON_CODEC
from node.protocol.messages import Command, ConnectRequest, Publication, Reply
from node.protocol.plain import PlainDialog, plain_publication
from node.session import Parts
from node.transports.websocket_frames import TEXT, frame
from node.transports.websocket_transport import WebSocketFraming, WebSocketTransport

log = structlog.get_logger(__name__)


class PlainWebSocketFraming(WebSocketFraming):
    """Publications as texts of the plain form; see hub.Framing."""

    __slots__ = ()

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return frame(TEXT, plain_publication(channel, publication))


PLAIN_WS = PlainWebSocketFraming(JSON_CODEC, TEXT)


class PlainWebSocketTransport(WebSocketTransport):
    """One client of `/ws`; see WebSocketTransport.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
    """

    __slots__ = ("_dialog",)
    name = "ws"

    def __init__(self, sock: socket.socket, parts: Parts) -> None:
        self._dialog = PlainDialog()
        super().__init__(sock, parts, PLAIN_WS, native_ping=True)

    def greeting(self, token: str) -> Command:
        """The connect command that the handshake stands for."""
        return self._dialog.connect(ConnectRequest(token=token))

    def encode(self, reply: Reply) -> bytes:
        """See WebSocketTransport."""
        return b"".join(frame(TEXT, text.data) for text in self._dialog.texts(reply))

    def decode(self, payload: bytes) -> list[Command]:
        """See WebSocketTransport; what has its answer already is no command."""
        answer = self._dialog.receive(payload)
        if isinstance(answer, Command):
            return [answer]
        if answer.fault:
            self.session.parts.metrics.malformed[self.name] += 1
            log.info("malformed message", client=self.session.client, reason=answer.fault, rate_limited=True)
        self.outbox.write(frame(TEXT, answer.text))
        return []
