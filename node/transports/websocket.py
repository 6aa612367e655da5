"""WebSocket: `/connection/websocket` for the client protocol, `/ws` for people without an SDK, and
`/connection/uni_websocket` for the protocol's pushes alone.

A client costs one task, its reader, which lives in `serve`: it turns bytes into messages and has the
transport serve them.
"""

from node.commands import handle
from node.protocol.messages import Command
from node.session import Parts
from node.transports.admission import check_origin, check_welcome, refuse
from node.transports.plain_websocket import PlainWebSocketTransport
from node.transports.refusal import Refusal
from node.transports.request import Connection, Head, bearer_token
from node.transports.stream_request import connect_request
from node.transports.uni_websocket import UniWebSocketTransport
from node.transports.websocket_frames import FrameReader
from node.transports.websocket_handshake import accept, choose_subprotocol
from node.transports.websocket_transport import WEBSOCKET_JSON, WEBSOCKET_PROTOBUF, WebSocketTransport

PLAIN_PATH = "/ws"
PATHS = ("/connection/websocket", PLAIN_PATH)
UNI_PATH = "/connection/uni_websocket"
_PROTOBUF = "centrifuge-protobuf"
_SUBPROTOCOLS = (_PROTOBUF, "centrifuge-json")


async def serve(connection: Connection, head: Head, parts: Parts) -> bool:
    """Serve one WebSocket client from its handshake to the end of its connection.

    Args:
        connection: the client's; the caller closes it afterwards.
        head: its request. Not kept while the session lives.
        parts: the node's.

    Returns:
        Whether the connection may carry another request; never after a session.
    """
    try:
        response = _check(head, parts)
        transport, greeting = _open(connection, head, parts)
    except Refusal as refusal:
        return await refuse(connection, head, refusal, "websocket", parts)
    options = parts.config.uni_websocket if head.path == UNI_PATH else parts.config.websocket
    del head
    session = transport.session
    try:
        transport.outbox.write(response)
        if greeting is not None:
            await handle(session, greeting)
        del response, greeting
        reader = FrameReader(options.message_size_limit)
        while count := reader.feed(await connection.receive()):
            parts.metrics.bytes_in += count
            if not await transport.serve_messages(reader):
                break
        # Until the goodbye is out and the client has ended its side, or the session's deadline.
        while await connection.receive():
            pass
    finally:
        transport.outbox.abort()
        session.end()
    return False


def _check(head: Head, parts: Parts) -> bytes:
    """The handshake's response.

    Raises:
        Refusal: there is no session to be had for this request.
    """
    response = accept(head, choose_subprotocol(head, _subprotocols(head)))
    check_origin(head, parts)
    check_welcome(parts)
    return response


def _subprotocols(head: Head) -> tuple[str, ...]:
    return _SUBPROTOCOLS if head.path != UNI_PATH else _SUBPROTOCOLS[1:]


def _open(connection: Connection, head: Head, parts: Parts) -> tuple[WebSocketTransport, Command | None]:
    """The transport, and the command that the handshake stands for, if there is one.

    Raises:
        Refusal: the handshake's connect request cannot be read.
    """
    if head.path == PLAIN_PATH:
        plain = PlainWebSocketTransport(connection.sock, parts)
        return plain, plain.greeting(bearer_token(head))
    if head.path == UNI_PATH:
        asked = head.query("cf_connect").encode()
        connect = Command(id=1, connect=connect_request(asked)) if asked else None
        return UniWebSocketTransport(connection.sock, parts, asked=bool(asked)), connect
    # Three ways to ask for Protobuf: protocol reference, section 2.2.
    protobuf = (
        choose_subprotocol(head, _SUBPROTOCOLS) == _PROTOBUF
        or head.query("cf_protocol") == "protobuf"
        or head.query("format") == "protobuf"
    )
    framing = WEBSOCKET_PROTOBUF if protobuf else WEBSOCKET_JSON
    native_ping = head.query("cf_ws_frame_ping_pong") == "true"
    return WebSocketTransport(connection.sock, parts, framing, native_ping=native_ping), None
