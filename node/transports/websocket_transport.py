"""The writing half of a WebSocket client, and what its messages mean to its session.

Everything a client gets passes its outbox as whole frames. The type of a client's message does not
matter: like the server whose protocol this is, a text message on a Protobuf connection is decoded as
Protobuf and a binary one on a JSON connection as JSON; a text message must be UTF-8 all the same.

Closing is a handshake (RFC 6455, section 7): whoever starts it, nothing is read as a command any more,
and the session's closing deadline ends what the client does not.
"""

import socket
from collections.abc import Sequence
from contextlib import suppress

import trio

from node.hub import Framing
from node.outbox import Outbox
from node.protocol.codec import Codec
from node.protocol.errors import RemoteProtocolError, UnencodablePayload
from node.protocol.json_codec import JSON_CODEC
from node.protocol.messages import PING as PING_REPLY
from node.protocol.messages import Command, Publication, Push, Reply
from node.protocol.protobuf_codec import PROTOBUF_CODEC
from node.protocol.reasons import CONNECTION_CLOSED, DisconnectReason
from node.session import Parts, Session
from node.transports.serving import SERVED_PER_TURN, serve_frame
from node.transports.websocket_frames import (
    BINARY,
    PING,
    PONG,
    TEXT,
    FrameReader,
    close_echo,
    close_frame,
    frame,
)

NATIVE_PING = frame(PING, b"")
_DATA = frozenset((TEXT, BINARY))


class WebSocketFraming:
    """Publications as frames for every client of one encoding; see hub.Framing.

    Args:
        codec: the encoding.
        opcode: TEXT or BINARY, for all messages to these clients.
    """

    __slots__ = ("codec", "opcode", "ping")

    def __init__(self, codec: Codec, opcode: int) -> None:
        self.codec = codec
        self.opcode = opcode
        self.ping = self.reply(PING_REPLY)

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return self.reply(Reply(push=Push(channel=channel, pub=publication)))

    def reply(self, reply: Reply) -> bytes:
        """One reply or push as a frame.

        Raises:
            UnencodablePayload: a payload cannot travel in this encoding.
        """
        return frame(self.opcode, self.codec.encode_reply(reply))

    def join(self, frames: Sequence[bytes]) -> bytes:
        """See hub.Framing."""
        return b"".join(frames)


WEBSOCKET_JSON = WebSocketFraming(JSON_CODEC, TEXT)
WEBSOCKET_PROTOBUF = WebSocketFraming(PROTOBUF_CODEC, BINARY)


class WebSocketTransport:
    """One client's WebSocket; see session.Transport and outbox.OutboxOwner.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
        framing: how messages look.
        native_ping: pings are WebSocket's own, not the client protocol's.
    """

    __slots__ = (
        "_flushed",
        "_goodbye",
        "_messages",
        "_shut_how",
        "_sock",
        "framing",
        "native_ping",
        "outbox",
        "session",
    )
    name = "websocket"
    unidirectional = False

    def __init__(
        self, sock: socket.socket, parts: Parts, framing: WebSocketFraming, *, native_ping: bool
    ) -> None:
        self.framing: Framing = framing
        self.native_ping = native_ping
        self.outbox: Outbox = Outbox(sock, parts.writers, self)
        self._sock = sock
        self._messages = framing
        # The answer to the client's close frame, once that came.
        self._goodbye = b""
        # Our close frame, and everything before it, is with the kernel.
        self._flushed = False
        # What to shut once it is; None while the client's own close frame is awaited.
        self._shut_how: int | None = None
        self.session = Session(self, parts)

    def encode(self, reply: Reply) -> bytes:
        """A reply or push as frames, b"" for none; raises UnencodablePayload."""
        return self._messages.reply(reply)

    def decode(self, payload: bytes) -> list[Command]:
        """The commands of one message; raises RemoteProtocolError."""
        return self._messages.codec.decode_commands(payload)

    def send(self, reply: Reply) -> None:
        """See Transport."""
        try:
            frames = self.encode(reply)
        except UnencodablePayload:
            self.session.payload_unencodable(reply.push.channel if reply.push else "")
        else:
            self.session.parts.metrics.bytes_out += len(frames)
            self.outbox.write(frames)

    def ping(self) -> None:
        """See Transport."""
        self.outbox.write(NATIVE_PING if self.native_ping else self._messages.ping)

    def close(self, reason: DisconnectReason) -> None:
        """See Transport: a close frame with the reason, or the answer to the client's own."""
        self.outbox.finish(self._goodbye or close_frame(reason))

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
        """See OutboxOwner."""
        self._flushed = True
        if self._shut_how is not None:
            self._shut(self._shut_how)

    async def serve_messages(self, reader: FrameReader) -> bool:
        """Serve what is complete; returns whether the client may say more.

        Args:
            reader: holds what was received.
        """
        served = 0
        while True:
            try:
                message = reader.next()
            except RemoteProtocolError as error:
                self._fail(error)
                return False
            if message is None:
                return True
            opcode, payload = message
            if opcode in _DATA:
                await serve_frame(self.session, self.decode, payload)
            elif opcode == PING:
                self.outbox.write(frame(PONG, payload))
            elif opcode == PONG:
                # An unsolicited one asks for nothing (RFC 6455, section 5.5.3).
                if self.native_ping:
                    self.session.pong()
            else:
                self._answer_close(payload)
                return False
            served += 1
            if served % SERVED_PER_TURN == 0:
                await trio.lowlevel.checkpoint()

    def _answer_close(self, payload: bytes) -> None:
        """The client's close frame came: answer it unless it is an answer, then end the connection.

        RFC 6455, section 7.1.1: the server closes the TCP connection first.
        """
        try:
            self._goodbye = close_echo(payload)
        except RemoteProtocolError as error:
            self._fail(error)
            return
        self._shut_when_flushed(socket.SHUT_RDWR)
        self.session.close(CONNECTION_CLOSED)

    def _fail(self, error: RemoteProtocolError) -> None:
        """The framing is broken: RFC 6455, section 7.1.7; what follows is not looked at any more.

        It is still read, until the client ends its side: closing a socket with unread bytes resets the
        connection, and the client would never see why it was closed.
        """
        self._shut_when_flushed(socket.SHUT_WR)
        if not self.session.closed:
            self.session.protocol_error(error)

    def _shut_when_flushed(self, how: int) -> None:
        self._shut_how = how
        if self._flushed:
            self._shut(how)

    def _shut(self, how: int) -> None:
        # OSError: the peer has gone already, which the reader finds out by itself.
        with suppress(OSError):
            self._sock.shutdown(how)
