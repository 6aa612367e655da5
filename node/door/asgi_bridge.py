"""The streaming endpoints in ASGI's form, by the very handlers that serve them on the door.

A handler reads and writes a socket. Here it gets one end of a socket pair, and what comes out of the other
end is passed on as ASGI messages. So a stream that hypercorn serves (HTTP/2, or a connection that asked for
a page before) obeys the same rules as any other, slow clients included, at the price of a copy; the ASGI
server costs ten times that.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import trio
from msgspec.structs import replace

from node.door.asgi_request import Receive, Scope, Send, head_of, peer_of
from node.door.connection import Connection
from node.door.head import Head
from node.timers import Timers
from node.transports.websocket_frames import BINARY, CLOSE, PING, PONG, TEXT, frame

Handler = Callable[[Connection, Head], Awaitable[bool]]

# After its handler has ended, how long a client may take for what it has not read yet.
_LAST_BYTES_S = 5.0
# What the server in between says itself, in its own way.
_HOP_FIELDS = frozenset((b"alt-svc", b"connection", b"date", b"keep-alive", b"transfer-encoding", b"upgrade"))
# A handshake's own fields are made anew: over HTTP/2 there are none (RFC 8441), and extensions are refused.
_HANDSHAKE_FIELDS = frozenset(
    (
        b"connection",
        b"upgrade",
        b"sec-websocket-key",
        b"sec-websocket-extensions",
        b"content-length",
        b"transfer-encoding",
    )
)
_HANDSHAKE = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
)


@dataclass(frozen=True, slots=True)
class Bridge:
    """How a handler's socket is reached from an ASGI request.

    Args:
        handler: serves the request.
        timers: the node's.
        abort: ends the client's connection at once; sending to a client that does not read cannot be
            cancelled in any other way.
    """

    handler: Handler
    timers: Timers
    abort: Callable[[], None]

    async def http(self, scope: Scope, head: Head, body: bytes, receive: Receive, send: Send) -> None:
        """Serve a request whose body has been read.

        Args:
            scope: ASGI's.
            head: the request's.
            body: all of it.
            receive: ASGI's.
            send: ASGI's.
        """
        headers = {name: value for name, value in head.headers.items() if name != "expect"}
        head = replace(
            head, headers=headers, content_length=len(body) or None, chunked=False, keep_alive=False
        )
        async with self._opened(head, body, peer_of(scope)) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_disconnect, receive, stream)
            response = await _read_response(stream)
            await send({"type": "http.response.start", "status": response.status, "headers": response.fields})
            data = response.rest
            while data or (data := await stream.receive_some()):
                await send({"type": "http.response.body", "body": data, "more_body": True})
                data = b""
            await send({"type": "http.response.body", "body": b""})
            nursery.cancel_scope.cancel()

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket.

        Args:
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.

        Raises:
            HeadError: the handshake is not a request the door would read.
        """
        head = head_of(scope, without=_HANDSHAKE_FIELDS, fields=_HANDSHAKE)
        await receive()  # websocket.connect
        async with self._opened(head, b"", peer_of(scope)) as stream:
            response = await _read_response(stream)
            if response.status != 101:
                await _refuse_websocket(response, stream, send)
                return
            protocol = dict(response.fields).get(b"sec-websocket-protocol", b"").decode()
            await send({"type": "websocket.accept", "subprotocol": protocol or None, "headers": []})
            inlet, gone = _Inlet(stream), trio.Event()
            async with trio.open_nursery() as nursery:

                def answer(ping: bytes) -> None:
                    # Not waited for: a handler that does not read may well be writing.
                    nursery.start_soon(inlet.send, masked(PONG, ping))

                nursery.start_soon(_pass_in, receive, inlet, gone)
                if await _pass_out(stream, response.rest, send, answer):
                    # The handler waits for the client's end, and the client has some time to say goodbye.
                    with trio.move_on_after(_LAST_BYTES_S):
                        await inlet.end()
                        await gone.wait()
                elif not gone.is_set():
                    self.abort()
                nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _opened(self, head: Head, received: bytes, peer: str) -> AsyncIterator[trio.SocketStream]:
        """The handler, running, and the other end of its socket."""
        near, far = socket.socketpair()
        far.setblocking(False)
        connection = Connection(far, peer, self.timers)
        connection.received += received
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(near))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._handle, connection, head)
                yield stream
                nursery.cancel_scope.cancel()
        finally:
            connection.close()
            near.close()

    async def _handle(self, connection: Connection, head: Head) -> None:
        try:
            await self.handler(connection, head)
        finally:
            connection.close()
        await trio.sleep(_LAST_BYTES_S)
        self.abort()


class _Response(NamedTuple):
    status: int
    fields: list[tuple[bytes, bytes]]
    rest: bytes


async def _read_response(stream: trio.SocketStream) -> _Response:
    """The head of a handler's response, and what came behind it."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = await stream.receive_some()
        if not data:
            raise trio.BrokenResourceError("the handler ended without a response")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    status_line, *lines = head.split(b"\r\n")
    fields = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
    kept = [field for field in fields if field[0] not in _HOP_FIELDS]
    return _Response(int(status_line.split(b" ")[1]), kept, rest)


class _Inlet:
    """What goes to the handler, from several tasks in turn: a stream of trio's lets one send at a time.

    The handler may have ended; what it had to say is on its way out then, and nobody hears what is sent here.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._turn = trio.Lock()

    async def send(self, data: bytes) -> None:
        """Send, when the others have."""
        async with self._turn:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.send_all(data)

    async def end(self) -> None:
        """Let the handler find the end of what its client sends."""
        async with self._turn:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.send_eof()


async def _end_on_disconnect(receive: Receive, stream: trio.SocketStream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    await _Inlet(stream).end()


async def _refuse_websocket(response: _Response, stream: trio.SocketStream, send: Send) -> None:
    body = response.rest
    while data := await stream.receive_some():
        body += data
    await send(
        {"type": "websocket.http.response.start", "status": response.status, "headers": response.fields}
    )
    await send({"type": "websocket.http.response.body", "body": body})


async def _pass_in(receive: Receive, inlet: _Inlet, gone: trio.Event) -> None:
    """What the client sends, as frames, until it has gone."""
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        payload = message["bytes"] if text is None else text.encode()
        await inlet.send(masked(BINARY if text is None else TEXT, payload))
    gone.set()
    await inlet.end()


async def _pass_out(
    stream: trio.SocketStream, received: bytes, send: Send, answer: Callable[[bytes], None]
) -> bool:
    """What the handler sends, as messages; returns whether it said goodbye."""
    buffer = bytearray(received)
    while True:
        while (message := take_frame(buffer)) is not None:
            opcode, payload = message
            if opcode == TEXT:
                await send({"type": "websocket.send", "text": payload.decode()})
            elif opcode == BINARY:
                await send({"type": "websocket.send", "bytes": payload})
            elif opcode == PING:
                # ASGI knows no pings. The server in between sends its own, and TCP misses their answer.
                answer(payload)
            elif opcode == CLOSE:
                code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
                await send({"type": "websocket.close", "code": code, "reason": reason})
                return True
        data = await stream.receive_some()
        if not data:
            return False
        buffer += data


def take_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take the first frame of a handler: whole and unmasked, as `websocket_frames.frame` makes them."""
    if len(buffer) < 2:
        return None
    size, start = buffer[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(buffer[2:start], "big")
    if len(buffer) < start + size:
        return None
    opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
    del buffer[: start + size]
    return opcode, payload


def masked(opcode: int, payload: bytes) -> bytes:
    """A frame as clients send them; the key is zero, which leaves the payload as it is (RFC 6455, 5.3)."""
    plain = frame(opcode, payload)
    start = len(plain) - len(payload)
    return bytes((plain[0], plain[1] | 0x80)) + plain[2:start] + bytes(4) + payload
