"""The settings of the transports: which are served, and how much one request or message of theirs may be.

Part of the one `Config` in `options`, and as plain as that.
"""

from msgspec import Struct

# What a request or a message of a client may be, bytes; the server whose option names these are has the same.
_SIZE_MAX = 65_536


class WebSocketOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`websocket`: /connection/websocket and /ws."""

    # A message from a client, bytes, all fragments together (close code 1009 above).
    message_size_limit: int = _SIZE_MAX


class UniWebSocketOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`uni_websocket`: /connection/uni_websocket."""

    enabled: bool = False
    # As in `websocket`.
    message_size_limit: int = _SIZE_MAX


class UniSseOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`uni_sse`: /connection/uni_sse and /sse."""

    # A POSTed connect request, bytes.
    max_request_body_size: int = _SIZE_MAX
    # What clients are told to wait before they come back, milliseconds; jittered up to twice that.
    retry_ms: int = 1000


class UniHttpStreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`uni_http_stream`: /connection/uni_http_stream."""

    enabled: bool = False
    # A POSTed connect request, bytes (413 above).
    max_request_body_size: int = _SIZE_MAX


class SseOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`sse`: /connection/sse, and /emulation for its clients' commands."""

    enabled: bool = False
    # POSTed first commands, bytes (413 above); those of a GET are in its head.
    max_request_body_size: int = _SIZE_MAX


class HttpStreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`http_stream`: /connection/http_stream, and /emulation for its clients' commands."""

    enabled: bool = False
    # POSTed first commands, bytes (413 above).
    max_request_body_size: int = _SIZE_MAX


class GrpcWebOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`grpc_web`: the edge service for pages, /broadcast.edge.v1.Edge/...; limits: `grpc_server`."""

    enabled: bool = False


class EmulationOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`emulation`: /emulation, there if `sse` or `http_stream` is."""

    # POSTed commands of a session, bytes (413 above); below what NATS carries, 1 MB by default.
    max_request_body_size: int = _SIZE_MAX
