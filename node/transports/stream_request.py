"""What requests for streams have in common: their methods, their page's origin, their bodies."""

import trio

from node.protocol.errors import RemoteProtocolError
from node.protocol.json_codec import decode_connect_request
from node.protocol.messages import ConnectRequest
from node.session import Parts
from node.transports.refusal import Refusal
from node.transports.request import Connection, Head

_PREFLIGHT_S = 300
_PROTOBUF = "application/octet-stream"


def check_method(head: Head, methods: tuple[str, ...]) -> bool:
    """Whether a request only asks what it may ask (OPTIONS).

    Args:
        head: the request.
        methods: that are served, the usual one first.

    Raises:
        Refusal: 405.
    """
    if head.method not in methods:
        fields = f"Allow: {', '.join(methods)}\r\n"
        raise Refusal(405, "method", f"this path is asked for with {methods[0]}", fields)
    return head.method == "OPTIONS"


def cross_origin_fields(head: Head, parts: Parts) -> str:
    """The header lines that let a page of another, allowed origin read the answer."""
    origin = head.header("origin")
    if not origin or not parts.origins.allows(origin, head.header("host") or None):
        return ""
    return (
        f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n"
    )


def preflight_fields(head: Head) -> str:
    """What a page may send: the Fetch standard's CORS preflight."""
    wanted = head.header("access-control-request-headers")
    headers = f"Access-Control-Allow-Headers: {wanted}\r\n" if wanted else ""
    return (
        "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"
        f"{headers}Access-Control-Max-Age: {_PREFLIGHT_S}\r\n"
    )


def is_protobuf(head: Head) -> bool:
    """Whether a request's body is Protobuf; anything not said to be is JSON."""
    return head.header("content-type").partition(";")[0].strip().lower() == _PROTOBUF


async def read_body(connection: Connection, head: Head, bytes_max: int, deadline_s: float) -> bytes:
    """A request's whole body; what came behind it stays with the connection.

    Args:
        connection: the client's.
        head: the request's.
        bytes_max: the longest body that is read.
        deadline_s: how long it may take to arrive, seconds.

    Raises:
        Refusal: 408 or 413.
    """
    length = head.content_length or 0
    if length > bytes_max:
        raise Refusal(413, "body", f"the body is longer than {bytes_max} bytes")
    received = connection.received
    if len(received) < length:
        await connection.invite_body(head)
        with trio.move_on_after(deadline_s):
            while len(received) < length and await connection.fill():
                pass
    if len(received) < length:
        raise Refusal(408, "body", "the body did not come in time")
    body = bytes(received[:length])
    del received[:length]
    return body


def connect_request(body: bytes) -> ConnectRequest:
    """What a client of a unidirectional transport asks for.

    Args:
        body: of the request, or its `cf_connect` parameter; may be empty.

    Raises:
        Refusal: 400.
    """
    try:
        return decode_connect_request(body)
    except RemoteProtocolError as error:
        raise Refusal(400, "connect", f"not a connect request: {error.detail}") from None
