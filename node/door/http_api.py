"""The server API on the door's fast path: `POST /api/METHOD`, bodies with a length.

The same answers as through `asgi_app`, without the price of a general server. Who calls is
checked before anything is read; a body that is not wanted is only read past if it is there already.
"""

from typing import NamedTuple

import structlog
import trio

from node.access.api_key import ApiKeyCheck
from node.api.envelope import Answer, JsonApi
from node.config.options import HttpApiOptions
from node.door.connection import Connection, connection_header
from node.door.head import Head
from node.door.response import response
from node.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

PATH = "/api"
PREFIX = "/api/"
ERROR_MODE_HEADER = "x-centrifugo-error-mode"


class Refusal(NamedTuple):
    """Why a call is not served.

    Attributes:
        status: the HTTP status.
        text: for the caller; the key's refusal has none.
        allow: methods for the Allow header, "" for none.
    """

    status: int
    text: str
    allow: str = ""


class HttpApi:
    """Serves the server API; give `serve` to the door for PATH and PREFIX.

    Args:
        api: the methods.
        check: whose key is ours.
        options: limits of a body.
        metrics: refused requests are counted there.
        fields: header lines of every answer of a method, each with its CRLF.
    """

    def __init__(
        self, api: JsonApi, check: ApiKeyCheck, options: HttpApiOptions, metrics: Metrics, fields: str = ""
    ) -> None:
        self._api = api
        self._check = check
        self._options = options
        self._metrics = metrics
        self._fields = fields

    async def serve(self, connection: Connection, head: Head) -> bool:
        """See Handler. Cancellation: what was being published may or may not be."""
        refusal = self.refusal(head)
        if refusal is not None:
            return await self._refuse(connection, head, refusal)
        body = await self._body(connection, head)
        if body is None:
            return False
        answer = await self.call(head, body)
        keep_alive = connection.keeps_alive(head)
        data = response(
            answer.status,
            answer.body,
            content_type=answer.content_type,
            fields=self._fields,
            connection=connection_header(head, keep_alive=keep_alive),
        )
        return await connection.send_answer(data, keep_alive=keep_alive)

    async def call(self, head: Head, body: bytes) -> Answer:
        """Make the call that a request stands for; `refusal` had nothing against it."""
        if head.path == PATH:
            return await self._api.call_legacy(body)
        transport_errors = head.header(ERROR_MODE_HEADER) == "transport"
        return await self._api.call(head.path[len(PREFIX) :], body, transport_errors=transport_errors)

    def refusal(self, head: Head) -> Refusal | None:
        """Why a request is not served, decided from its head alone."""
        headers = head.headers
        query_key = head.query_all("api_key")[:1] if head.query_string else ()
        if not self._check.allows(headers.get("x-api-key"), headers.get("authorization"), *query_key):
            return Refusal(401, "")
        if head.method != "POST":
            return Refusal(405, "the server API is called with POST", "POST")
        if head.path != PATH and head.path[len(PREFIX) :] not in self._api.methods:
            return Refusal(404, "no such method")
        if (head.content_length or 0) > self._options.body_bytes_max:
            return Refusal(413, f"the body is longer than {self._options.body_bytes_max} bytes")
        return None

    def note(self, refusal: Refusal, peer: str) -> None:
        """Count and log a refused call."""
        self._metrics.refused[f"api_{refusal.status}"] += 1
        reason = refusal.text or "wrong API key"
        log.info(
            "api request refused",
            peer=peer,
            status=refusal.status,
            reason=reason,
            rate_limited=refusal.status,
        )

    async def _refuse(self, connection: Connection, head: Head, refusal: Refusal) -> bool:
        self.note(refusal, connection.peer)
        fields = f"Allow: {refusal.allow}\r\n" if refusal.allow else ""
        length = head.content_length or 0
        unread = length > len(connection.received)
        if not unread:
            del connection.received[:length]
        return await connection.answer(head, refusal.status, refusal.text, fields=fields, close=unread)

    async def _body(self, connection: Connection, head: Head) -> bytes | None:
        """The request's body; None if it did not come, which has been answered."""
        received = connection.received
        length = head.content_length or 0
        if len(received) < length:
            await connection.invite_body(head)
            with trio.move_on_after(self._options.body_deadline_s):
                while len(received) < length:
                    if not await connection.fill():
                        return None
            if len(received) < length:
                refusal = Refusal(408, "the request's body took too long")
                await self._refuse(connection, head, refusal)
                return None
        body = bytes(received[:length])
        del received[:length]
        return body
