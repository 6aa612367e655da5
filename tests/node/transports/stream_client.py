"""A client of streams without an end, and of the POSTs that belong to them, written by hand."""

import json
from typing import Any

import trio

from protos import client_pb2
from tests.node.transports.served import Served

CONNECT = {"id": 1, "connect": {}}


class Stream:
    """One request and the response's head; then its body, as lines or as Protobuf."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.status = 0
        self.fields: dict[str, str] = {}
        self._received = b""

    @classmethod
    async def open(
        cls, node: Served, target: str, *fields: str, method: str = "POST", body: bytes = b""
    ) -> "Stream":
        stream = cls(await node.connect())
        await stream.ask(target, *fields, method=method, body=body)
        return stream

    async def ask(self, target: str, *fields: str, method: str = "POST", body: bytes = b"") -> int:
        """Send a request over this connection; returns the status."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await self.stream.send_all("\r\n".join((*lines, "", "")).encode() + body)
        head = (await self._until(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(head[0].split(" ")[1])
        self.fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        return self.status

    async def line(self) -> Any:
        """The next line's JSON."""
        return json.loads(await self._until(b"\n"))

    async def event(self) -> Any:
        """The next event's JSON; it has data and nothing else."""
        event = await self._until(b"\n\n")
        assert event.startswith(b"data: "), event
        return json.loads(event.removeprefix(b"data: "))

    async def reply(self) -> client_pb2.Reply:
        """The next Protobuf reply, of less than 128 bytes."""
        (size,) = await self._exactly(1)
        assert size < 0x80
        return client_pb2.Reply.FromString(await self._exactly(size))

    async def text(self) -> str:
        """The body of a response with a length."""
        return (await self._exactly(int(self.fields["content-length"]))).decode()

    async def rest(self) -> bytes:
        """Everything until the node ends the stream."""
        while data := await self.stream.receive_some():
            self._received += data
        rest, self._received = self._received, b""
        return rest

    async def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            await self._receive()
        data, _, self._received = self._received.partition(end)
        return data

    async def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            await self._receive()
        data, self._received = self._received[:size], self._received[size:]
        return data

    async def _receive(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"the stream ended after {self._received!r}"
        self._received += data


def frame(*commands: dict[str, Any]) -> bytes:
    """Commands as one frame of JSON."""
    return "\n".join(map(json.dumps, commands)).encode()


def protobuf_frame(*commands: client_pb2.Command) -> bytes:
    """Commands of less than 128 bytes each as one frame of Protobuf."""
    return b"".join(bytes([command.ByteSize()]) + command.SerializeToString() for command in commands)


class Emulated:
    """A connected client: its stream of lines, and the connection of its POSTs."""

    def __init__(self, stream: Stream, post: Stream, connected: dict[str, Any]) -> None:
        self.stream = stream
        self.post = post
        self.session: str = connected["session"]
        self.node: str = connected["node"]

    @classmethod
    async def open(cls, node: Served) -> "Emulated":
        stream = await Stream.open(node, "/connection/http_stream", body=frame(CONNECT))
        assert stream.status == 200
        return cls(stream, Stream(await node.connect()), (await stream.line())["connect"])

    async def send(self, *commands: dict[str, Any], **changes: str) -> int:
        """POST a frame; returns the status.

        Args:
            commands: of the frame.
            changes: to the request's fields.
        """
        request = {"session": self.session, "node": self.node, "data": frame(*commands).decode(), **changes}
        status = await self.post.ask("/emulation", body=json.dumps(request).encode())
        await self.post.text() if status != 204 else None
        return status
