"""Nodes that are none: servers on the loopback that answer what a test tells them to."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from chaos.workload.publisher import Address

Serve = Callable[[trio.SocketStream], Awaitable[None]]


async def listen(nursery: trio.Nursery, name: str, serve: Serve) -> Address:
    """Start one; every connection is served until `serve` returns, and then closed."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def handle(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await serve(stream)

    nursery.start_soon(trio.serve_listeners, handle, [listener])
    return Address(name, "127.0.0.1", listener.socket.getsockname()[1])


async def request(stream: trio.SocketStream) -> tuple[str, dict[str, object]]:
    """The next request on a connection: its first line and its JSON body, {} for none."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = await stream.receive_some()
        if not data:
            raise trio.BrokenResourceError
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += await stream.receive_some()
    return head.split(b"\r\n")[0].decode(), json.loads(body) if body else {}


def answer(body: object, status: str = "200 OK") -> bytes:
    """An answer of the server API."""
    text = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


def accepted(offset: int) -> bytes:
    """A publication was accepted."""
    return answer({"result": {"offset": offset, "epoch": "e"}})
