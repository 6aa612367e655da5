"""Asks an ASGI application as a server would, without one."""

import json
from dataclasses import dataclass, field
from typing import Any

import trio

from coordinator.http_api import HttpApi

TOKEN = "the-coordinators-token"


@dataclass
class Got:
    """A response, as far as it has come."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    news: trio.Event = field(default_factory=trio.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Server-sent events: kind and data."""
        events = []
        for block in self.body.decode().split("\n\n")[:-1]:
            lines = dict(line.split(": ", 1) for line in block.split("\n"))
            if "data" in lines:
                events.append((lines.get("event", ""), json.loads(lines["data"])))
        return events

    async def until_events(self, count: int) -> None:
        with trio.fail_after(30):
            while len(self.events) < count:
                self.news = trio.Event()
                await self.news.wait()


@dataclass
class AsgiClient:
    """One who asks.

    Attributes:
        token: sent with every request; "" for none.
    """

    app: HttpApi
    token: str = TOKEN

    async def get(self, target: str, **fields: str) -> Got:
        return await self.ask("GET", target, **fields)

    async def post(self, target: str, request: object = None, **fields: str) -> Got:
        body = b"" if request is None else json.dumps(request).encode()
        return await self.ask("POST", target, body, **{"content_type": "application/json", **fields})

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        got: Got | None = None,
        gone: trio.Event | None = None,
        **fields: str,
    ) -> Got:
        """Ask and wait for the end of the response, or until `gone`; `got` may be looked at meanwhile."""
        path, _, query = target.partition("?")
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if self.token:
            headers.setdefault("authorization", f"Bearer {self.token}")
        got = got or Got()
        gone = trio.Event() if gone is None else gone
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            await trio.lowlevel.checkpoint()
            if message["type"] == "http.response.start":
                assert not got.status, "a second response"
                got.status = message["status"]
                got.fields = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                got.body += message["body"]
                if not message.get("more_body", False):
                    gone.set()
            got.news.set()

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await self.app(scope, receive, send)
        return got
