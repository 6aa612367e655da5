"""The same as an ASGI application that hypercorn serves: a channel per subscriber, a `send` per delivery.

One application for WebSocket, SSE and publishing: a publication's JSON is parsed, put into every
subscriber's channel, and answered. Checks nothing, and is no server for anybody else. Prints its port and
runs until it is ended.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from tests.bench.peers.dialog import answer_to, push_of

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_QUEUE_MAX = 10_000
_ANSWER = b'{"result":{}}'
_JSON = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
_EVENTS = [(b"content-type", b"text/event-stream")]


class _App:
    """The ASGI application."""

    def __init__(self) -> None:
        self._subscribers: dict[trio.MemorySendChannel[str], None] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST":
            await self._publish(receive, send)
        elif scope["type"] == "http":
            await self._events(receive, send)
        else:
            await _lifespan(receive, send)

    async def _publish(self, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        push = push_of(body)
        for subscriber in self._subscribers:
            subscriber.send_nowait(push)
        await send({"type": "http.response.start", "status": 200, "headers": _JSON})
        await send({"type": "http.response.body", "body": _ANSWER})

    async def _websocket(self, receive: Receive, send: Send) -> None:
        async def deliver(push: str) -> None:
            await send({"type": "websocket.send", "text": push})

        async def commands() -> None:
            while (message := await receive())["type"] != "websocket.disconnect":
                if message["type"] == "websocket.receive":
                    await send({"type": "websocket.send", "text": answer_to(message["text"])})

        await send({"type": "websocket.accept"})
        await self._subscribe(deliver, commands)

    async def _events(self, receive: Receive, send: Send) -> None:
        async def deliver(push: str) -> None:
            body = f"data: {push}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        await deliver('{"connect":{}}')
        await self._subscribe(deliver, until_gone)

    async def _subscribe(
        self, deliver: Callable[[str], Awaitable[None]], until: Callable[[], Awaitable[None]]
    ) -> None:
        sending, receiving = trio.open_memory_channel[str](_QUEUE_MAX)
        self._subscribers[sending] = None

        async def deliver_all() -> None:
            async for push in receiving:
                await deliver(push)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(deliver_all)
                await until()
                nursery.cancel_scope.cancel()
        finally:
            del self._subscribers[sending]


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _main() -> None:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.backlog = 4096
    config.keep_alive_max_requests = 1_000_000
    config.loglevel = "WARNING"
    app: Any = _App()
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(serve, app, config)
        sys.stdout.write(url.rsplit(":", 1)[1] + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(_main)
