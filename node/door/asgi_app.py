"""The application that hypercorn runs: pages, the server API, and the streaming endpoints, by path.

Hypercorn never gives a connection back, so everything the door serves itself also answers here.
"""

from collections.abc import Mapping

import structlog

from node.config.options import HttpApiOptions
from node.door.asgi_bridge import Bridge, Handler
from node.door.asgi_pages import Endpoint, not_found
from node.door.asgi_request import (
    BodyError,
    Fields,
    Receive,
    Scope,
    Send,
    head_of,
    peer_of,
    read_body,
    respond,
)
from node.door.head import Head, HeadError
from node.door.http_api import PATH, PREFIX, HttpApi, Refusal
from node.telemetry.metrics import Metrics
from node.timers import Timers

log = structlog.get_logger(__name__)

_TEXT: Fields = ((b"content-type", b"text/plain; charset=utf-8"),)


class AsgiApp:
    """See the module. `scope["state"]["abort"]` ends the client's connection at once.

    Args:
        endpoints: the pages.
        api: the server API.
        streams: handlers of the door that answer with a stream.
        websockets: handlers of the door that take WebSockets.
        api_options: limits of bodies.
        stream_body_bytes_max: the longest body of a request that a handler of the door gets.
        timers: the node's.
        metrics: what is refused is counted there.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        api: HttpApi,
        streams: Mapping[str, Handler],
        websockets: Mapping[str, Handler],
        api_options: HttpApiOptions,
        stream_body_bytes_max: int,
        timers: Timers,
        metrics: Metrics,
    ) -> None:
        self._endpoints = endpoints
        self._api = api
        self._websockets = websockets
        self._handlers = {**streams, **websockets}
        self._paths = {**endpoints, **self._handlers, f"{PREFIX}METHOD": None}
        self._api_options = api_options
        self._stream_body_bytes_max = stream_body_bytes_max
        self._timers = timers
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
            return
        try:
            await self._serve_http(scope, receive, send)
        except HeadError as error:
            self._metrics.malformed["head"] += 1
            _log_refused(scope, error.status, error.detail)
            await respond(receive, send, error.status, f"{error.detail}\n".encode())

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = head_of(scope)
        handler = self._handlers.get(head.path)
        endpoint = self._endpoints.get(head.path)
        if handler is not None:
            body = await self._body(scope, receive, send, self._stream_body_bytes_max)
            if body is not None:
                await self._bridge(scope, handler).http(scope, head, body, receive, send)
        elif head.path == PATH or head.path.startswith(PREFIX):
            await self._serve_api(scope, head, receive, send)
        elif endpoint is not None:
            await self._serve_page(scope, head, endpoint, receive, send)
        elif head.path == "*":
            await respond(receive, send, 204, fields=((b"allow", b"GET, HEAD, POST, OPTIONS"),))
        else:
            content = not_found(self._paths)
            self._refused(scope, "path", content.status, "no such path")
            await respond(receive, send, content.status, content.body, content.fields)

    async def _serve_api(self, scope: Scope, head: Head, receive: Receive, send: Send) -> None:
        refusal = self._api.refusal(head)
        if refusal is not None:
            self._api.note(refusal, peer_of(scope))
            await _respond_refusal(refusal, receive, send)
            return
        body = await self._body(scope, receive, send, self._api_options.body_bytes_max)
        if body is not None:
            answer = await self._api.call(head, body)
            fields = ((b"content-type", answer.content_type.encode()),)
            await respond(receive, send, answer.status, answer.body, fields)

    async def _body(self, scope: Scope, receive: Receive, send: Send, bytes_max: int) -> bytes | None:
        """The request's body; None if there is nothing left to be done."""
        try:
            return await read_body(receive, bytes_max, self._api_options.body_deadline_s)
        except BodyError as error:
            self._refused(scope, f"body_{error.status}", error.status, error.detail)
            await respond(receive, send, error.status, f"{error.detail}\n".encode())
            return None

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._websockets.get(scope["path"])
        if handler is not None:
            try:
                await self._bridge(scope, handler).websocket(scope, receive, send)
            except HeadError as error:
                self._metrics.malformed["head"] += 1
                _log_refused(scope, error.status, error.detail)
                await _refuse_handshake(send, error.status, f"{error.detail}\n".encode())
        else:
            self._refused(scope, "path", 404, "no WebSocket at this path")
            await _refuse_handshake(send, 404, b"There is no WebSocket at this path.\n")

    async def _serve_page(
        self, scope: Scope, head: Head, endpoint: Endpoint, receive: Receive, send: Send
    ) -> None:
        allow = ((b"allow", ", ".join((*endpoint.methods, "OPTIONS")).encode()),)
        if head.method in endpoint.methods:
            content = endpoint.content()
            await respond(receive, send, content.status, content.body, content.fields)
        elif head.method == "OPTIONS":
            await respond(receive, send, 204, fields=allow)
        else:
            self._refused(scope, "method", 405, "this path is only read")
            await respond(receive, send, 405, b"This path is only read.\n", (*_TEXT, *allow))

    def _refused(self, scope: Scope, cause: str, status: int, reason: str) -> None:
        self._metrics.refused[cause] += 1
        _log_refused(scope, status, reason)

    def _bridge(self, scope: Scope, handler: Handler) -> Bridge:
        return Bridge(handler, self._timers, scope["state"]["abort"])


def _log_refused(scope: Scope, status: int, reason: str) -> None:
    log.info("request refused", peer=peer_of(scope), status=status, reason=reason, rate_limited=status)


async def _respond_refusal(refusal: Refusal, receive: Receive, send: Send) -> None:
    fields = [*_TEXT] if refusal.text else []
    if refusal.allow:
        fields.append((b"allow", refusal.allow.encode()))
    body = f"{refusal.text}\n".encode() if refusal.text else b""
    await respond(receive, send, refusal.status, body, fields)


async def _refuse_handshake(send: Send, status: int, body: bytes) -> None:
    await send({"type": "websocket.http.response.start", "status": status, "headers": [*_TEXT]})
    await send({"type": "websocket.http.response.body", "body": body})
