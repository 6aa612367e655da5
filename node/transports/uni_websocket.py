"""`/connection/uni_websocket`: pushes, each in a frame, to a client that says nothing after its connect."""

import socket

from node.protocol.json_codec import JSON_CODEC, decode_connect_request
from node.protocol.messages import PING as PING_REPLY
from node.protocol.messages import Command, Disconnect, Push, Reply
from node.protocol.reasons import DisconnectReason
from node.session import Parts
from node.transports.websocket_frames import TEXT, close_frame, frame
from node.transports.websocket_transport import NATIVE_PING, WebSocketFraming, WebSocketTransport


class UniWebSocketFraming(WebSocketFraming):
    """Bare pushes, an empty one is a ping; see hub.Framing."""

    __slots__ = ()

    def reply(self, reply: Reply) -> bytes:
        """See WebSocketFraming; what is no push is nothing to these clients."""
        if reply.push is None and reply is not PING_REPLY:
            return b""
        return frame(TEXT, self.codec.encode_push(reply.push or Push()))


UNI_WEBSOCKET = UniWebSocketFraming(JSON_CODEC, TEXT)
# The client's WebSocket answers the second one, which proxies see as traffic in both directions.
_PINGS = UNI_WEBSOCKET.ping + NATIVE_PING


class UniWebSocketTransport(WebSocketTransport):
    """One client of `/connection/uni_websocket`; see WebSocketTransport.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
        asked: its connect request was in the handshake; otherwise it is the first message.
    """

    __slots__ = ("_asked",)
    name = "uni_websocket"
    unidirectional = True

    def __init__(self, sock: socket.socket, parts: Parts, *, asked: bool) -> None:
        self._asked = asked
        super().__init__(sock, parts, UNI_WEBSOCKET, native_ping=False)

    def decode(self, payload: bytes) -> list[Command]:
        """See WebSocketTransport; what comes after the connect request is not looked at."""
        if self._asked:
            return []
        self._asked = True
        return [Command(id=1, connect=decode_connect_request(payload))]

    def ping(self) -> None:
        """See Transport."""
        self.outbox.write(_PINGS)

    def close(self, reason: DisconnectReason) -> None:
        """See WebSocketTransport: a disconnect push before the close frame."""
        if self._goodbye:
            super().close(reason)
            return
        push = self.encode(Reply(push=Push(disconnect=Disconnect(reason.code, reason.reason))))
        self.outbox.finish(push + close_frame(reason))
