"""Responses without an end: `/connection/sse`, `/connection/http_stream` and `/connection/uni_http_stream`.

The first two are half of a bidirectional transport, whose other half is `emulation_post`. A client that
cannot be served now is told so with 503, after which SDKs wait.
"""

from collections.abc import Sequence

from node.commands import handle
from node.config.alt_svc import alt_svc_line
from node.protocol.errors import RemoteProtocolError
from node.protocol.json_codec import JSON_CODEC
from node.protocol.messages import Command
from node.protocol.protobuf_codec import PROTOBUF_CODEC
from node.session import Parts
from node.transports.admission import check_origin, check_welcome, refuse, retry_later
from node.transports.emulated_transport import (
    HTTP_STREAM_JSON,
    HTTP_STREAM_PROTOBUF,
    SSE,
    EmulatedTransport,
)
from node.transports.refusal import Refusal
from node.transports.request import Connection, Head
from node.transports.serving import serve_commands
from node.transports.stream_request import (
    check_method,
    connect_request,
    cross_origin_fields,
    is_protobuf,
    preflight_fields,
    read_body,
)
from node.transports.stream_transport import StreamTransport, UniHttpStreamTransport, stream_head

SSE_PATH = "/connection/sse"
PATH = "/connection/http_stream"
UNI_PATH = "/connection/uni_http_stream"
_METHODS = {
    SSE_PATH: ("GET", "POST", "OPTIONS"),
    PATH: ("POST", "OPTIONS"),
    UNI_PATH: ("POST", "OPTIONS"),
}
_NAMES = {SSE_PATH: SSE.name, PATH: HTTP_STREAM_JSON.name, UNI_PATH: UniHttpStreamTransport.name}
_UNI_CONTENT_TYPE = "application/json; charset=utf-8"


async def serve(connection: Connection, head: Head, parts: Parts) -> bool:
    """Serve one stream from its request to the end of its connection.

    Args:
        connection: the client's; the caller closes it afterwards.
        head: its request. Not kept while the stream lives.
        parts: the node's.

    Returns:
        Whether the connection may carry another request; never after a stream.
    """
    name = _NAMES[head.path]
    cross_origin = cross_origin_fields(head, parts)
    try:
        check_origin(head, parts)
        if check_method(head, _METHODS[head.path]):
            return await connection.answer(head, 204, fields=cross_origin + preflight_fields(head))
        check_welcome(parts)
        transport, commands, content_type = await _open(connection, head, parts)
    except Refusal as refusal:
        refusal.fields += cross_origin
        return await refuse(connection, head, refusal, name, parts)
    try:
        await handle(transport.session, commands[0])
        if transport.refused is None:
            transport.start(stream_head(content_type, cross_origin + alt_svc_line(parts.config.http_server)))
            del head, cross_origin
            await serve_commands(transport.session, commands[1:])
            del commands
            await transport.listen(connection)
            return False
    finally:
        transport.end()
    later = retry_later("session", transport.refused.reason)
    later.fields += cross_origin
    return await refuse(connection, head, later, name, parts)


async def _open(
    connection: Connection, head: Head, parts: Parts
) -> tuple[StreamTransport, Sequence[Command], str]:
    """The transport, the commands of the request, and the stream's type.

    Raises:
        Refusal: the request cannot be served.
    """
    config = parts.config
    deadline_s = config.http_api.body_deadline_s
    if head.path == UNI_PATH:
        body = await read_body(connection, head, config.uni_http_stream.max_request_body_size, deadline_s)
        connect = Command(id=1, connect=connect_request(body))
        return UniHttpStreamTransport(connection.sock, parts), [connect], _UNI_CONTENT_TYPE
    if head.path == PATH:
        form = HTTP_STREAM_PROTOBUF if is_protobuf(head) else HTTP_STREAM_JSON
        frame = await read_body(connection, head, config.http_stream.max_request_body_size, deadline_s)
    else:
        form = SSE
        frame = head.query("cf_connect").encode()
        if head.method == "POST":
            frame = await read_body(connection, head, config.sse.max_request_body_size, deadline_s)
    codec = PROTOBUF_CODEC if form is HTTP_STREAM_PROTOBUF else JSON_CODEC
    try:
        commands = codec.decode_commands(frame)
    except RemoteProtocolError as error:
        raise Refusal(400, "connect", f"the request holds no commands: {error.detail}") from None
    return EmulatedTransport(connection.sock, parts, form), commands, form.content_type
