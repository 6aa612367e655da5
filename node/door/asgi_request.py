"""Requests and responses in ASGI's form, for what hypercorn serves.

A request is read again by the door's own rules: hypercorn's parser is more lenient than ours, and no path
may mean two things depending on who read the request.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import trio

from node.door.connection import address_text
from node.door.head import Head, parse_head

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Fields = Iterable[tuple[bytes, bytes]]

# How long the server may take to notice that its response is complete.
_NOTICE_S = 5.0


class BodyError(Exception):
    """A request's body is not read.

    Args:
        status: the HTTP status for the answer.
        detail: why; safe to log and to send back.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def head_of(scope: Scope, *, without: frozenset[bytes] = frozenset(), fields: Fields = ()) -> Head:
    """The head of a request.

    Args:
        scope: of type "http" or "websocket".
        without: names of header fields that are left out, in lower case.
        fields: header fields that are added.

    Raises:
        HeadError: the door would not have read it either.
    """
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    # HTTP/2 and /3 say the same in other frames.
    version = b"1.0" if scope["http_version"] == "1.0" else b"1.1"
    lines = [b"%s %s HTTP/%s" % (scope.get("method", "GET").encode(), scope["raw_path"] + query, version)]
    lines += [b"%s: %s" % field for field in scope["headers"] if field[0].lower() not in without]
    lines += [b"%s: %s" % field for field in fields]
    return parse_head(b"\r\n".join([*lines, b"", b""]))


def peer_of(scope: Scope) -> str:
    """The client's address and port, for logs."""
    client = scope.get("client")
    return address_text(client[0], client[1]) if client else ""


async def read_body(receive: Receive, bytes_max: int, deadline_s: float) -> bytes | None:
    """A request's whole body; None if the client has gone.

    Args:
        receive: ASGI's.
        bytes_max: the longest body that is read.
        deadline_s: how long it may take to arrive, seconds.

    Raises:
        BodyError: 413 or 408.
    """
    body = bytearray()
    with trio.move_on_after(deadline_s):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > bytes_max:
                raise BodyError(413, f"the body is longer than {bytes_max} bytes")
            if not message.get("more_body", False):
                return bytes(body)
    raise BodyError(408, "the request's body took too long")


async def respond(
    receive: Receive,
    send: Send,
    status: int,
    body: bytes = b"",
    fields: Fields = ((b"content-type", b"text/plain; charset=utf-8"),),
) -> None:
    """Answer a request, whether its body was read or not; the client must not be known to have gone.

    Args:
        receive: ASGI's.
        send: ASGI's.
        status: the HTTP status.
        body: sent with its length.
        fields: header fields, names in lower case.
    """
    length = (b"content-length", str(len(body)).encode())
    async with trio.open_nursery() as nursery:
        # The server hands over a body through a short queue and waits when that is full, also with its word
        # that the response is complete: a body that nobody takes would hold the connection for ever.
        nursery.start_soon(_discard, receive)
        await send({"type": "http.response.start", "status": status, "headers": [*fields, length]})
        await send({"type": "http.response.body", "body": body})
        nursery.cancel_scope.deadline = trio.current_time() + _NOTICE_S


async def _discard(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
