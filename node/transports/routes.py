"""Which path is served by whom, as far as the configuration switches it on."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from node.config.options import Config
from node.session import Parts
from node.transports import emulation_post, grpc_web, http_stream, sse, websocket

# Serves one request, of the door's own connection and head; returns whether another one may follow.
Serve = Callable[..., Awaitable[bool]]


class Routes(NamedTuple):
    """Attributes:
    streams: who serves ordinary requests, by path.
    websockets: who serves handshakes, by path.
    """

    streams: dict[str, Serve]
    websockets: dict[str, Serve]


def routes(parts: Parts) -> Routes:
    """The transports of a node, by path.

    Args:
        parts: what their sessions share.
    """
    config = parts.config
    streams: dict[str, Serve] = {path: partial(sse.serve, parts=parts) for path in sse.PATHS}
    switches = {
        http_stream.SSE_PATH: config.sse.enabled,
        http_stream.PATH: config.http_stream.enabled,
        http_stream.UNI_PATH: config.uni_http_stream.enabled,
    }
    streams |= {path: partial(http_stream.serve, parts=parts) for path, on in switches.items() if on}
    if config.sse.enabled or config.http_stream.enabled:
        streams[emulation_post.PATH] = partial(emulation_post.serve, parts=parts)
    if config.grpc_web.enabled:
        streams |= {path: partial(grpc_web.serve, parts=parts) for path in grpc_web.PATHS}
    paths = [*websocket.PATHS, *([websocket.UNI_PATH] if config.uni_websocket.enabled else ())]
    return Routes(streams, {path: partial(websocket.serve, parts=parts) for path in paths})


def body_bytes_max(config: Config) -> int:
    """The longest body that any of these requests may have; each path has a limit of its own below that."""
    sections = (config.sse, config.http_stream, config.emulation, config.uni_sse, config.uni_http_stream)
    sizes = [section.max_request_body_size for section in sections]
    return max(*sizes, grpc_web.body_bytes_max(config) if config.grpc_web.enabled else 0)
