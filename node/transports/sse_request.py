"""What a request for an event stream says: its method, its page's origin, its channels or connect request."""

import trio

from node.config.options import Config
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.event_stream import UNKNOWN_POSITION, decode_positions, positions_fit
from node.protocol.json_codec import decode_connect_request
from node.protocol.messages import ConnectRequest, StreamPosition
from node.protocol.reasons import UNKNOWN_CHANNEL
from node.session import Parts
from node.transports.refusal import Refusal
from node.transports.request import Connection, Head

_PREFLIGHT_S = 300
# As long as an epoch may be, to see whether positions fit into an event id before they are known.
_LONGEST_EPOCH = "e" * 32


def check_method(head: Head, *, plain: bool) -> bool:
    """Whether a request only asks what it may ask (OPTIONS).

    Args:
        head: the request.
        plain: it is for `/sse`, which has no body.

    Raises:
        Refusal: 405.
    """
    methods = ("GET", "OPTIONS") if plain else ("GET", "POST", "OPTIONS")
    if head.method not in methods:
        fields = f"Allow: {', '.join(methods)}\r\n"
        raise Refusal(405, "method", f"an event stream is asked for with {methods[0]}", fields)
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


def plain_request(head: Head, parts: Parts) -> tuple[list[str], dict[str, StreamPosition]]:
    """The channels a plain request names, each once, and where its client stands in them.

    The position is the `Last-Event-ID` header, which EventSource sends when it reconnects, else the
    parameter `last_event_id`.

    Raises:
        Refusal: 400 or 404, where another request is needed.
    """
    channels = list(dict.fromkeys(head.query_all("channel")))
    if not channels:
        raise Refusal(400, "channel", "name at least one channel: /sse?channel=news")
    if len(channels) > parts.config.client.channel_limit:
        raise Refusal(400, "channel", f"more than {parts.config.client.channel_limit} channels")
    keeping = [channel for channel in channels if _keeps_history(channel, parts)]
    if not positions_fit(dict.fromkeys(keeping, StreamPosition(0, _LONGEST_EPOCH))):
        raise Refusal(400, "channel", "the channels' names are too long together; open several streams")
    seen = decode_positions(head.header("last-event-id") or head.query("last_event_id"))
    if seen is None:
        # Not an id of ours: the client has missed something, and nobody can say what.
        return channels, dict.fromkeys(keeping, UNKNOWN_POSITION)
    return channels, {channel: seen[channel] for channel in keeping if channel in seen}


def _keeps_history(channel: str, parts: Parts) -> bool:
    try:
        return parts.rules.resolve(channel).options.keeps_history
    except CommandError as error:
        status = 404 if error.error is UNKNOWN_CHANNEL else 400
        raise Refusal(status, "channel", error.detail or error.error.message) from None


async def connect_request(connection: Connection, head: Head, config: Config) -> ConnectRequest:
    """The connect request in the `cf_connect` parameter, or in the body of a POST.

    Raises:
        Refusal: 400, 408 or 413.
    """
    body = head.query("cf_connect").encode()
    if head.method == "POST":
        body = await _body(connection, head, config)
    try:
        return decode_connect_request(body)
    except RemoteProtocolError as error:
        raise Refusal(400, "connect", f"not a connect request: {error.detail}") from None


async def _body(connection: Connection, head: Head, config: Config) -> bytes:
    length = head.content_length or 0
    bytes_max = config.uni_sse.max_request_body_size
    if length > bytes_max:
        raise Refusal(413, "body", f"the body is longer than {bytes_max} bytes")
    await connection.invite_body(head)
    body = bytearray()
    with trio.move_on_after(config.http_api.body_deadline_s):
        while len(body) < length and (data := await connection.receive()):
            body += data
    if len(body) < length:
        raise Refusal(408, "body", "the body did not come in time")
    return bytes(body[:length])
