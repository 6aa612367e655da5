"""The server's side of the opening handshake: one request head in, one answer out. No I/O.

The checks are RFC 6455, section 4.2.1, on the head the door has parsed already; a second parse of it by a
library would cost more than the whole rest of the handshake. Extensions are never agreed: compression
keeps hundreds of kilobytes per connection, and frames could no longer be shared between clients.
"""

import binascii
from base64 import b64decode, b64encode
from hashlib import sha1

from node.transports.refusal import Refusal
from node.transports.request import Head

# RFC 6455, section 1.3: what both sides append to the key.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)


def accept(head: Head, subprotocol: str) -> bytes:
    """The response that switches a connection to WebSocket.

    Args:
        head: the client's request.
        subprotocol: what was chosen among those it offered, "" for none.

    Raises:
        Refusal: the request is no valid handshake.
    """
    if head.method != "GET":
        raise Refusal(405, "handshake", "a WebSocket handshake is a GET request", "Allow: GET\r\n")
    # RFC 9110, section 7.8: names of protocols and connection options are compared without regard to case.
    if "upgrade" not in _tokens(head, "connection") or "websocket" not in _tokens(head, "upgrade"):
        raise Refusal(426, "handshake", "this address speaks WebSocket only", "Upgrade: websocket\r\n")
    # RFC 6455, section 4.2.2: "If this version does not match a version understood by the server, the
    # server MUST abort [...] and a |Sec-WebSocket-Version| header field indicating the version(s)".
    if head.header("sec-websocket-version").strip() != "13":
        raise Refusal(
            426, "handshake", "only version 13 of WebSocket is spoken here", "Sec-WebSocket-Version: 13\r\n"
        )
    key = head.header("sec-websocket-key").strip().encode()
    if not _is_key(key):
        raise Refusal(400, "handshake", "Sec-WebSocket-Key is not 16 bytes in base64")
    digest = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    chosen = f"\r\nSec-WebSocket-Protocol: {subprotocol}".encode() if subprotocol else b""
    return _SWITCHING + digest + chosen + b"\r\n\r\n"


def choose_subprotocol(head: Head, known: tuple[str, ...]) -> str:
    """The first of `known` that the client offers, else "".

    Some clients send the header empty: that is no offer, and must not be answered with one.
    """
    offered = _tokens(head, "sec-websocket-protocol")
    return next((name for name in known if name in offered), "")


def _tokens(head: Head, name: str) -> list[str]:
    return [token.strip().lower() for token in head.header(name).split(",")]


def _is_key(key: bytes) -> bool:
    try:
        return len(b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
