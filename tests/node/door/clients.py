"""A door on a free port of this machine, and a client that sees every byte."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from node.config.options import HttpServerOptions
from node.door.connection import Connection
from node.door.door import Door, Handler
from node.door.head import Head
from node.telemetry.metrics import Metrics
from node.timers import Timers

LOCAL = HttpServerOptions(address="127.0.0.1", port=0)


@dataclass
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    """One connection to a door."""

    stream: trio.SocketStream
    _received: bytearray = field(default_factory=bytearray)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def receive(self) -> bytes:
        """Whatever has come; b"" at the end."""
        if self._received:
            data = bytes(self._received)
            self._received.clear()
            return data
        return await self.stream.receive_some()

    async def receive_until(self, end: bytes) -> bytes:
        """Everything up to and including `end`."""
        while (index := self._received.find(end)) < 0:
            data = await self.stream.receive_some()
            assert data, f"the connection ended before {end!r}: {bytes(self._received)!r}"
            self._received += data
        found = bytes(self._received[: index + len(end)])
        del self._received[: index + len(end)]
        return found

    async def response(self, *, body: bool = True) -> Response:
        """The next response; `body` is False for an answer to HEAD."""
        head = (await self.receive_until(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        length = int(headers.get("content-length", 0)) if body else 0
        content = b""
        if headers.get("transfer-encoding") == "chunked" and body:
            content = await self._chunks()
        while len(self._received) < length:
            data = await self.stream.receive_some()
            assert data, "the connection ended inside a body"
            self._received += data
        content += bytes(self._received[:length])
        del self._received[:length]
        return Response(int(lines[0].split(" ")[1]), headers, content)

    async def _chunks(self) -> bytes:
        content = b""
        while chunk := await self.chunk():
            content += chunk
        return content

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; b"" for the last one."""
        size = int(await self.receive_until(b"\r\n"), 16)
        data = await self.receive_until(b"\r\n") if size == 0 else b""
        while size and len(self._received) < size + 2:
            self._received += await self.stream.receive_some()
        if size:
            data = bytes(self._received[:size])
            del self._received[: size + 2]
        return data.removesuffix(b"\r\n") if size == 0 else data

    async def ask(self, head: bytes, body: bytes = b"") -> Response:
        """Send a request and wait for its response."""
        await self.send(head + body)
        return await self.response(body=not head.startswith(b"HEAD"))

    async def ended(self) -> bool:
        """Whether the server has closed the connection and sent nothing more."""
        try:
            return await self.receive() == b""
        except trio.BrokenResourceError:
            return True

    async def aclose(self) -> None:
        await self.stream.aclose()


async def echo(connection: Connection, head: Head) -> bool:
    """A handler that answers with the request's method, path and body."""
    while len(connection.received) < (head.content_length or 0):
        if not await connection.fill():
            return False
    body = bytes(connection.received[: head.content_length or 0])
    del connection.received[: head.content_length or 0]
    return await connection.answer(head, 200, f"{head.method} {head.path} {body.decode()}".rstrip())


async def elsewhere(connection: Connection, head: Head) -> bool:
    """A fallback that says so."""
    return await connection.answer(head, 404, f"elsewhere {head.path}", close=head.chunked)


@dataclass
class Served:
    """A running door."""

    door: Door
    metrics: Metrics
    nursery: trio.Nursery
    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        host, port = self.door.addresses[0]
        client = Client(await trio.open_tcp_stream(host, port))
        self.clients.append(client)
        return client

    async def connected(self, count: int) -> None:
        """Wait until so many connections are open."""
        while len(self.door._connections) != count:  # noqa: ASYNC110 - the door tells nobody
            await trio.sleep(0.01)


@asynccontextmanager
async def serving(
    routes: Mapping[str, Handler],
    *,
    fallback: Handler = elsewhere,
    options: HttpServerOptions = LOCAL,
    metrics: Metrics | None = None,
) -> AsyncIterator[Served]:
    """Run a door with these routes; everything is closed at the end."""
    metrics = metrics or Metrics()
    timers = Timers()
    door = Door(options, routes, fallback, timers, metrics)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        await nursery.start(door.serve)
        served = Served(door, metrics, nursery)
        try:
            yield served
        finally:
            for client in served.clients:
                client.stream.socket.close()
        nursery.cancel_scope.cancel()
