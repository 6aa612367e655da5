"""`POST /emulation`: commands of a client whose replies go out on a stream, here or at another node.

The answer says what became of them and nothing more; their replies travel on the stream.
"""

import structlog

from node.emulation import Outcome
from node.protocol.emulation import decode_emulation
from node.protocol.errors import RemoteProtocolError
from node.session import Parts
from node.transports.admission import check_origin, refuse
from node.transports.refusal import Refusal
from node.transports.request import Connection, Head
from node.transports.stream_request import (
    check_method,
    cross_origin_fields,
    is_protobuf,
    preflight_fields,
    read_body,
)

log = structlog.get_logger(__name__)

PATH = "/emulation"
_METHODS = ("POST", "OPTIONS")
_TEXTS = {
    Outcome.UNKNOWN: "no such session",
    Outcome.TOO_LARGE: "more than nodes can carry to each other",
    Outcome.BUSY: "too many commands wait in this session",
    Outcome.UNREACHABLE: "the node of this session is not reached",
}


async def serve(connection: Connection, head: Head, parts: Parts) -> bool:
    """Carry one request's commands to their session.

    Args:
        connection: the client's; the caller closes it afterwards.
        head: the request.
        parts: the node's.

    Returns:
        Whether the connection may carry another request.
    """
    cross_origin = cross_origin_fields(head, parts)
    config = parts.config
    try:
        check_origin(head, parts)
        if check_method(head, _METHODS):
            return await connection.answer(head, 204, fields=cross_origin + preflight_fields(head))
        body = await read_body(
            connection, head, config.emulation.max_request_body_size, config.http_api.body_deadline_s
        )
    except Refusal as refusal:
        refusal.fields += cross_origin
        return await refuse(connection, head, refusal, "emulation", parts)
    parts.metrics.bytes_in += len(body)
    try:
        request = decode_emulation(body, protobuf=is_protobuf(head))
    except RemoteProtocolError as error:
        status, text = 400, error.detail
    else:
        outcome = await parts.emulation.deliver(request.node, request.session, request.data)
        if outcome is Outcome.DELIVERED:
            return await connection.answer(head, outcome, fields=cross_origin)
        status, text = int(outcome), _TEXTS[outcome]
    parts.metrics.refused[f"emulation_{status}"] += 1
    log.info("request refused", transport="emulation", status=status, reason=text, rate_limited=status)
    return await connection.answer(head, status, text, fields=cross_origin)
