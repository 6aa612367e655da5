"""A response with server-sent events (HTML standard, section 9.2), over ASGI."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import trio
from google.protobuf.message import Message

from coordinator.answers import message_json, refusal
from coordinator.errors import OperationError

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# A stream that has nothing to say says so, for proxies and clients that give silent connections up.
_COMMENT_INTERVAL_S = 10.0


async def stream(
    messages: AsyncGenerator[Message, None], stopping: trio.Event, receive: Receive, send: Send
) -> None:
    """Send each message as an event until its reader goes or there is nothing more to come.

    Args:
        messages: closed at the end.
        stopping: ends the response.
        receive: ASGI's.
        send: ASGI's.

    Raises:
        OperationError: by `messages` before the first one; a later one is told as an event.
    """
    events = _EventStream(send)
    refused: OperationError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_disconnect, receive, nursery.cancel_scope)
        nursery.start_soon(events.comment)
        try:
            with trio.CancelScope() as telling:
                nursery.start_soon(_cancel_on, stopping, telling)
                async with aclosing(messages) as told:
                    async for message in told:
                        await events.write(f"data: {message_json(message)}\n\n")
        except OperationError as error:
            refused = error
        if refused is not None and events.begun:
            await events.write(f"event: unavailable\ndata: {refusal(refused).body.decode().strip()}\n\n")
        if refused is None or events.begun:
            await events.end()
        nursery.cancel_scope.cancel()
    if refused is not None and not events.begun:
        raise refused


class _EventStream:
    """The response; two tasks write to it.

    Args:
        send: ASGI's.

    Attributes:
        begun: its head was sent.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._writing = trio.Lock()
        self.begun = False

    async def comment(self) -> None:
        """Say now and then that the connection lives, for ever."""
        while True:
            await trio.sleep(_COMMENT_INTERVAL_S)
            if self.begun:
                await self.write(": here\n\n")

    async def write(self, text: str) -> None:
        """Send whole lines."""
        # A cancelled write may have been half of one, but then the response is over anyway.
        async with self._writing:
            await self._begin()
            await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})

    async def end(self) -> None:
        """The response is complete."""
        async with self._writing:
            await self._begin()
            await self._send({"type": "http.response.body", "body": b""})

    async def _begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        fields = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            # Proxies that buffer responses would keep every event.
            (b"x-accel-buffering", b"no"),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": fields})


async def _cancel_on(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _cancel_on_disconnect(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
