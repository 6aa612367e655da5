"""Event streams: `/connection/uni_sse` for the client protocol, `/sse` for people without an SDK.

An EventSource gives up for good on any status but 200. So a refusal that will be over is a stream that
ends at once, after saying when to come back, and a status is for what coming back would not change.
"""

import structlog

from node.commands import handle
from node.config.alt_svc import alt_svc_line
from node.protocol.messages import Command
from node.session import Parts
from node.transports.admission import check_origin, refuse
from node.transports.plain_sse import PlainSseTransport
from node.transports.plain_sse_request import plain_request
from node.transports.refusal import Refusal
from node.transports.request import Connection, Head, bearer_token
from node.transports.sse_transport import SseTransport, UniSseTransport, retry_line
from node.transports.stream_request import (
    check_method,
    connect_request,
    cross_origin_fields,
    preflight_fields,
    read_body,
)
from node.transports.stream_transport import stream_head

log = structlog.get_logger(__name__)

PLAIN_PATH = "/sse"
PATHS = ("/connection/uni_sse", PLAIN_PATH)
_METHODS = {"uni_sse": ("GET", "POST", "OPTIONS"), "sse": ("GET", "OPTIONS")}
# Reasons that coming back would not change, as HTTP knows them; with any other the client comes back.
_STATUS = {3005: 401, 3500: 401, 3501: 401, 3503: 403, 3504: 429, 3505: 400, 3506: 406, 3507: 403}


async def serve(connection: Connection, head: Head, parts: Parts) -> bool:
    """Serve one event stream from its request to the end of its connection.

    Args:
        connection: the client's; the caller closes it afterwards.
        head: its request. Not kept while the stream lives.
        parts: the node's.

    Returns:
        Whether the connection may carry another request; never after a stream.
    """
    name = "sse" if head.path == PLAIN_PATH else "uni_sse"
    cross_origin = cross_origin_fields(head, parts)
    response = stream_head(
        "text/event-stream; charset=utf-8", cross_origin + alt_svc_line(parts.config.http_server)
    )
    try:
        check_origin(head, parts)
        if check_method(head, _METHODS[name]):
            return await connection.answer(head, 200, fields=cross_origin + preflight_fields(head))
        if cause := parts.refusal():
            parts.metrics.refused[cause] += 1
            return await _send_away(connection, response, parts, name, cause)
        transport, commands = await _open(connection, head, parts)
    except Refusal as refusal:
        refusal.fields += cross_origin
        return await refuse(connection, head, refusal, name, parts)
    try:
        channel = ""
        for command in commands:
            channel = command.subscribe.channel if command.subscribe else ""
            await handle(transport.session, command)
            if transport.refused is not None:
                break
        del commands, command
        if transport.refused is None:
            transport.start(response)
            del head, response, cross_origin
            await transport.listen(connection)
            return False
    finally:
        transport.end()
    # EventSource comes back after the end of a stream, and never after a status.
    status = _STATUS.get(transport.refused.code)
    if status is None:
        return await _send_away(connection, response, parts, name, transport.refused.reason)
    reason = f"{channel}: {transport.refused.reason}" if channel else transport.refused.reason
    refused = Refusal(status, "session", reason, cross_origin)
    return await refuse(connection, head, refused, name, parts)


async def _open(connection: Connection, head: Head, parts: Parts) -> tuple[SseTransport, list[Command]]:
    """The transport, and the commands that the request stands for.

    Raises:
        Refusal: the request cannot be served, now or later.
    """
    if head.path == PLAIN_PATH:
        channels, since = plain_request(head, parts)
        plain = PlainSseTransport(connection.sock, parts, channels, since)
        return plain, plain.commands(bearer_token(head))
    body = head.query("cf_connect").encode()
    if head.method == "POST":
        config = parts.config
        bytes_max = config.uni_sse.max_request_body_size
        body = await read_body(connection, head, bytes_max, config.http_api.body_deadline_s)
    connect = Command(id=1, connect=connect_request(body))
    return UniSseTransport(connection.sock, parts), [connect]


async def _send_away(connection: Connection, response: bytes, parts: Parts, name: str, reason: str) -> bool:
    """A stream that ends at once and says when to come back."""
    log.info("stream ended before it began", transport=name, reason=reason, rate_limited=reason)
    await connection.send(response + retry_line(parts.config.uni_sse.retry_ms))
    return False
