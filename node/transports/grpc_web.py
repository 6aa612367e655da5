"""The edge service for pages: gRPC-Web, binary and text, for calls and for streams from the server.

A status is part of the body, so whatever is wrong with a call is answered 200; HTTP statuses are for
requests that are no calls. What is asked and answered is `node.edge`'s business.
"""

import socket
from collections.abc import Sequence

import structlog

from node.config.options import Config
from node.edge import calls
from node.edge.checks import check_size, check_welcome, credentials
from node.edge.status import CallRefused, ending_of_failure
from node.edge.subscribing import Subscribing, channels_of
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.messages import Command, Reply
from node.protocol.reasons import DisconnectReason
from node.session import Parts
from node.transports.admission import check_origin, refuse
from node.transports.grpc_web_framing import GrpcWebFraming, framing_of
from node.transports.refusal import Refusal
from node.transports.request import Connection, Head, bearer_token
from node.transports.serving import serve_commands
from node.transports.stream_request import check_method, cross_origin_fields, preflight_fields, read_body
from node.transports.stream_transport import StreamTransport, stream_head

_SERVICE = "/broadcast.edge.v1.Edge/"
_CALLS = {f"{_SERVICE}Publish": calls.publish, f"{_SERVICE}History": calls.history}
_SUBSCRIBE = f"{_SERVICE}Subscribe"
PATHS = (*_CALLS, _SUBSCRIBE)
# Pages see no other header of an answer; a call that was refused at once may say so there.
_EXPOSED = "Access-Control-Expose-Headers: grpc-status, grpc-message, broadcast-code, retry-after-ms\r\n"
_FRAME_BYTES = 5

log = structlog.get_logger(__name__)


def body_bytes_max(config: Config) -> int:
    """The longest body of a call: a message of the longest kind, in base64."""
    return (config.grpc_server.message_size_limit + _FRAME_BYTES + 2) // 3 * 4


async def serve(connection: Connection, head: Head, parts: Parts) -> bool:
    """Serve one call.

    Args:
        connection: the client's; the caller closes it after a stream.
        head: its request. Not kept while a stream lives.
        parts: the node's.

    Returns:
        Whether the connection may carry another request; never after a stream.
    """
    cross_origin = cross_origin_fields(head, parts)
    try:
        check_origin(head, parts)
        if check_method(head, ("POST", "OPTIONS")):
            return await connection.answer(head, 204, fields=cross_origin + preflight_fields(head))
        framing = _framing(head)
        deadline_s = parts.config.http_api.body_deadline_s
        body = await read_body(connection, head, body_bytes_max(parts.config), deadline_s)
    except Refusal as refusal:
        refusal.fields += cross_origin
        return await refuse(connection, head, refusal, "grpc_web", parts)
    if cross_origin:
        cross_origin += _EXPOSED
    try:
        message = framing.request(body)
        check_size(parts, message)
        if head.path != _SUBSCRIBE:
            who = credentials(parts, bearer_token(head))
            answer = framing.message(await _CALLS[head.path](parts, who, message))
            return await _respond(connection, head, framing, answer + framing.trailers(None), cross_origin)
        channels = channels_of(message, parts)
        check_welcome(parts)
    except CallRefused as refused:
        ending, cause = refused.ending, refused.cause
    except (CommandError, RemoteProtocolError) as failure:
        ending, cause = ending_of_failure(failure), "session"
    else:
        subscribing = Subscribing(channels)
        transport = GrpcWebTransport(connection.sock, parts, framing, subscribing)
        commands = subscribing.commands(bearer_token(head))
        del head, body, message, channels
        return await _stream(connection, transport, commands, cross_origin)
    parts.metrics.refused[cause] += 1
    log.info("call refused", status=ending.code.name, reason=ending.details, rate_limited=cause)
    return await _respond(connection, head, framing, framing.trailers(ending), cross_origin)


def _framing(head: Head) -> GrpcWebFraming:
    framing = framing_of(head.header("content-type"))
    if framing is None:
        raise Refusal(415, "content_type", "a call has the type application/grpc-web or ...-text")
    return framing


async def _respond(
    connection: Connection, head: Head, framing: GrpcWebFraming, body: bytes, fields: str
) -> bool:
    """Answer a call with a whole body."""
    keep_alive = "keep-alive" if head.keep_alive else "close"
    response = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {framing.content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\nConnection: {keep_alive}\r\n{fields}\r\n"
    )
    return await connection.send(response.encode("latin-1") + body) and head.keep_alive


async def _stream(
    connection: Connection, transport: "GrpcWebTransport", commands: Sequence[Command], fields: str
) -> bool:
    """Serve a stream until its connection ends."""
    try:
        transport.start(stream_head(transport.messages.content_type, fields))
        await serve_commands(transport.session, commands)
        del commands
        await transport.listen(connection)
    finally:
        transport.end()
    return False


class GrpcWebTransport(StreamTransport):
    """One client of `Subscribe`.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
        framing: of its body.
        subscribing: what it asks for.

    Attributes:
        messages: the framing.
    """

    __slots__ = ("_subscribing", "messages")
    name = "grpc_web"
    unidirectional = True
    native_ping = False

    def __init__(
        self, sock: socket.socket, parts: Parts, framing: GrpcWebFraming, subscribing: Subscribing
    ) -> None:
        self.messages = framing
        self._subscribing = subscribing
        super().__init__(sock, parts, framing)

    def encode(self, reply: Reply) -> bytes:
        """See StreamTransport."""
        return b"".join([self.messages.message(message) for message in self._subscribing.encode(reply)])

    def ping(self) -> None:
        """See Transport."""
        self.outbox.write(self.messages.ping)

    def close(self, reason: DisconnectReason) -> None:
        """See Transport: a last event if there is one, and the trailers with the status."""
        last = self._subscribing.goodbye(reason)
        goodbye = self.messages.message(last) if last is not None else b""
        self.outbox.finish(goodbye + self.messages.trailers(self._subscribing.ending(reason)))
