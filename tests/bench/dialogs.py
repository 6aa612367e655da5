"""How a client of each transport joins: what it sends first, and what it answers to what. Pure."""

import json
from collections.abc import Callable
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hyperframe.frame import PingFrame, SettingsFrame

from protos.edge_pb2 import ChannelRequest, SubscribeRequest
from tests.bench.frames import Target, connect_frame, event_stream, subscribe_frame, upgrade, with_query

# RFC 9113, section 6.9.1: the largest there is, so that nobody waits for a window of these clients.
_WINDOW = 2**31 - 1
# Type, flags and stream of the settings that a server begins with: RFC 9113, section 4.1.
_SERVERS_SETTINGS = b"\x04\x00\x00\x00\x00\x00"
# The same of a ping, with its length: section 6.7.
_PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00"
_CONNECT = b'{"id":1,"connect":{"name":"js"}}\n'


class Dialog(NamedTuple):
    """How a client joins.

    Attributes:
        port: of the server.
        request: its first bytes.
        steps: what it waits for, and what it sends when that came, or how to make that of what came;
            subscribed after the last one.
        tls: whether all of that is encrypted.
        quic: whether it is over HTTP/3; the request is its path then.
    """

    port: int
    request: bytes
    steps: list[tuple[bytes, bytes | Callable[[bytes], bytes]]]
    tls: bool = False
    quic: bool = False


def dialog(target: Target, transport: str) -> Dialog:
    """The dialog of one of the transports in TRANSPORTS."""
    return TRANSPORTS[transport](target)


def _websocket(target: Target) -> Dialog:
    """SDKs subscribe when connect was answered."""
    steps: list[tuple[bytes, bytes | Callable[[bytes], bytes]]]
    steps = [(b"\r\n\r\n", connect_frame()), (b'"id":1', subscribe_frame(target)), (b'"id":2', b"")]
    return Dialog(target.port, upgrade(target), steps)


def _secure_websocket(target: Target) -> Dialog:
    return _websocket(target)._replace(tls=True)


def _uni_sse(target: Target) -> Dialog:
    return Dialog(target.port, event_stream(target.sse_path, target.port), [(b'"connect":', b"")])


def _secure_sse(target: Target) -> Dialog:
    return _uni_sse(target)._replace(tls=True)


def _http3_sse(target: Target) -> Dialog:
    return Dialog(target.port, target.sse_path.encode(), [(b'"connect":', b"")], quic=True)


def _emulated_sse(target: Target) -> Dialog:
    path = with_query("/connection/sse", cf_connect=_commands(target).decode())
    return Dialog(target.port, event_stream(path, target.port), [(b'"id":2', b"")])


def _http_stream(target: Target) -> Dialog:
    body = _commands(target)
    head = (
        f"POST /connection/http_stream HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Dialog(target.port, head.encode() + body, [(b'"id":2', b"")])


def _commands(target: Target) -> bytes:
    """What an emulated client says in its first request."""
    return _CONNECT + json.dumps({"id": 2, "subscribe": {"channel": target.channel}}).encode()


def _grpc(target: Target) -> Dialog:
    """The edge's Subscribe, each client on a connection of its own; its first event names the channel."""
    message = SubscribeRequest(channels=[ChannelRequest(channel=target.channel)]).SerializeToString()
    fields = [(":method", "POST"), (":path", "/broadcast.edge.v1.Edge/Subscribe"), ("te", "trailers")]
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return _http2(target, [*fields, ("content-type", "application/grpc")], body, target.channel.encode())


def _http2_sse(target: Target) -> Dialog:
    """`/connection/uni_sse` over HTTP/2, in plain text (RFC 9113, section 3.3)."""
    fields = [(":method", "GET"), (":path", target.sse_path), ("accept", "text/event-stream")]
    return _http2(target, fields, b"", b'"connect":')


def _http2(target: Target, fields: list[tuple[str, str]], body: bytes, answer: bytes) -> Dialog:
    client = H2Connection(H2Configuration(client_side=True))
    client.local_settings = Settings(initial_values={SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
    client.initiate_connection()
    client.increment_flow_control_window(_WINDOW - 65_535)
    preface = client.data_to_send()
    authority = f"127.0.0.1:{target.port}"
    pseudo, others = fields[:2], fields[2:]
    client.send_headers(
        1, [*pseudo, (":scheme", "http"), (":authority", authority), *others], end_stream=not body
    )
    if body:
        client.send_data(1, body, end_stream=True)
    request = SettingsFrame(flags=["ACK"]).serialize() + client.data_to_send()
    return Dialog(target.port, preface, [(_SERVERS_SETTINGS, request), (answer, _pong)])


def _pong(received: bytes) -> bytes:
    """The answer to the ping that came with a call's beginning, if one did.

    grpc measures its window by that; left without an answer, it ends the connection after a minute.
    """
    at = received.find(_PING)
    if at < 0:
        return b""
    at += len(_PING)
    return PingFrame(opaque_data=received[at : at + 8], flags=["ACK"]).serialize()


TRANSPORTS: dict[str, Callable[[Target], Dialog]] = {
    "websocket": _websocket,
    "sse": _uni_sse,
    "emulated sse": _emulated_sse,
    "http_stream": _http_stream,
    "websocket over TLS": _secure_websocket,
    "gRPC": _grpc,
    "sse over HTTP/2": _http2_sse,
    "sse over TLS": _secure_sse,
    "sse over HTTP/3": _http3_sse,
}
