"""The coordinator over HTTP: the operations as JSON for people, discovery, probes, and the operator's page.

An ASGI application, and as such unaware of who serves it. Every path below /v1 needs the token. What changes
something must be sent as JSON: a page from elsewhere can make a browser send a form, never that.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs

import trio
from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import Message

from coordinator.access import TokenCheck
from coordinator.answers import (
    Answer,
    json_answer,
    message_answer,
    message_fields,
    refusal,
)
from coordinator.discover import Discovery
from coordinator.errors import InvalidRequest, OperationError, Unavailable
from coordinator.event_stream import Receive, Send, stream
from coordinator.page import operators_page
from coordinator.service import Service
from coordinator.telemetry import Telemetry
from protos.coordinator_pb2 import DrainRequest, RebalanceRequest, UndrainRequest

Scope = dict[str, Any]

_Request = TypeVar("_Request", bound=Message)

_BODY_BYTES_MAX = 65_536
_BODY_DEADLINE_S = 10.0
# How long the server may take to notice that its response is complete.
_NOTICE_S = 5.0
_TEXT = "text/plain; charset=utf-8"


class Request(NamedTuple):
    """What an endpoint may know.

    Attributes:
        query: parameters, the first value of each.
        origin: of the page that asks, "" for programs.
        body: all of it.
        part: of the path, where it names a plan.
    """

    query: Mapping[str, str]
    origin: str
    body: bytes
    part: str


class HttpApi:
    """See the module.

    Args:
        service: the operations.
        discovery: answers `/discover`.
        token: who may call what is below /v1.
        telemetry: shown at /metrics.
    """

    def __init__(
        self, service: Service, discovery: Discovery, token: TokenCheck, telemetry: Telemetry
    ) -> None:
        self._service = service
        self._discovery = discovery
        self._token = token
        self._telemetry = telemetry
        self._stopping = trio.Event()
        page = operators_page()
        self._reads: dict[str, Callable[[Request], Answer]] = {
            "/": lambda _: page,
            "/livez": lambda _: Answer(200, b"alive\n", _TEXT),
            "/readyz": self._readyz,
            "/metrics": lambda _: Answer(200, telemetry.render(), telemetry.content_type),
            "/discover": lambda request: discovery.answer(request.query.get("transport", ""), request.origin),
            "/v1/nodes": lambda _: message_answer(service.list_nodes()),
            "/v1/plans": self._plans,
            "/v1/plans/*": lambda request: message_answer(service.plan(request.part)),
        }
        self._streams: dict[str, Callable[[Request], AsyncGenerator[Message, None]]] = {
            "/v1/watch": lambda _: service.watch_nodes(),
            "/v1/plans/*/watch": lambda request: service.watch_plan(request.part),
        }
        self._writes: dict[str, Callable[[Request], Awaitable[Answer]]] = {
            "/v1/drain": self._drain,
            "/v1/undrain": self._undrain,
            "/v1/rebalance": self._rebalance,
            "/v1/plans/*/cancel": self._cancel,
        }

    def stop(self) -> None:
        """End the streams: they would go on for ever."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
            return
        pattern, part = _pattern(scope["path"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if pattern.startswith("/v1/"):
                self._token.check(headers.get("authorization", ""))
            query = parse_qs(scope["query_string"].decode("latin-1"))
            first = {name: values[0] for name, values in query.items()}
            request = Request(first, headers.get("origin", ""), b"", part)
            if pattern in self._streams and scope["method"] == "GET":
                await stream(self._streams[pattern](request), self._stopping, receive, send)
                return
            answer = await self._answer(scope["method"], pattern, headers, request, receive)
        except OperationError as error:
            answer = refusal(error)
        if answer.status in (400, 401, 404, 405, 413, 415):
            self._telemetry.refused[f"http_{answer.status}"] += 1
        await _send(answer, receive, send, head_only=scope["method"] == "HEAD")

    async def _answer(
        self, method: str, pattern: str, headers: Mapping[str, str], request: Request, receive: Receive
    ) -> Answer:
        known = {
            "GET": pattern in self._reads or pattern in self._streams,
            "HEAD": pattern in self._reads,
            "POST": pattern in self._writes,
        }
        allowed = ", ".join([*(name for name, here in known.items() if here), "OPTIONS"])
        if not any(known.values()):
            paths = ", ".join(sorted([*self._reads, *self._streams, *self._writes])).replace("*", "ID")
            return json_answer(404, {"error": f"there is nothing here; there is: {paths}"})
        if method == "OPTIONS":
            return Answer(204, b"", "", (("allow", allowed),))
        if not known.get(method):
            return json_answer(405, {"error": f"this path takes {allowed}"}, (("allow", allowed),))
        if method != "POST":
            return self._reads[pattern](request)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return json_answer(415, {"error": "send JSON, as Content-Type: application/json"})
        body = await _body(receive)
        if body is None:
            return json_answer(
                413, {"error": f"the body is longer than {_BODY_BYTES_MAX} bytes, or too slow"}
            )
        return await self._writes[pattern](request._replace(body=body))

    def _readyz(self, _: Request) -> Answer:
        try:
            self._service.check_contact()
        except Unavailable as error:
            return Answer(503, f"{error}\n".encode(), _TEXT)
        return Answer(200, b"ready\n", _TEXT)

    def _plans(self, _: Request) -> Answer:
        plans = self._service.list_nodes().plans
        return json_answer(200, {"plans": [message_fields(plan) for plan in plans]})

    async def _drain(self, request: Request) -> Answer:
        return message_answer(await self._service.drain(_parsed(request.body, DrainRequest())))

    async def _undrain(self, request: Request) -> Answer:
        return message_answer(await self._service.undrain(_parsed(request.body, UndrainRequest())))

    async def _rebalance(self, request: Request) -> Answer:
        return message_answer(await self._service.rebalance(_parsed(request.body, RebalanceRequest())))

    async def _cancel(self, request: Request) -> Answer:
        return message_answer(await self._service.cancel(request.part))


def _pattern(path: str) -> tuple[str, str]:
    """A path with the plan's id replaced by `*`, and that id."""
    parts = path.split("/")
    if len(parts) in (4, 5) and parts[:3] == ["", "v1", "plans"] and parts[3]:
        return "/".join([*parts[:3], "*", *parts[4:]]), parts[3]
    return path, ""


def _parsed(body: bytes, into: _Request) -> _Request:
    try:
        return Parse(body or b"{}", into)
    except (ParseError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not {type(into).__name__} as JSON: {error}") from error


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if it is too long, too slow, or its client went."""
    body = bytearray()
    with trio.move_on_after(_BODY_DEADLINE_S):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > _BODY_BYTES_MAX:
                return None
            if not message.get("more_body", False):
                return bytes(body)
    return None


async def _send(answer: Answer, receive: Receive, send: Send, *, head_only: bool) -> None:
    fields = [(name.encode(), value.encode("latin-1")) for name, value in answer.fields]
    if answer.content_type:
        fields.append((b"content-type", answer.content_type.encode()))
    fields.append((b"content-length", str(len(answer.body)).encode()))
    async with trio.open_nursery() as nursery:
        # The server hands over a request's body through a short queue and waits while that is full: a body
        # that nobody takes, since the request is refused, would hold the connection for ever.
        nursery.start_soon(_discard, receive)
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if head_only else answer.body})
        nursery.cancel_scope.deadline = trio.current_time() + _NOTICE_S


async def _discard(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
