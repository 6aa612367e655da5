"""A client that sends whatever it is told to, and reads what a node answers: HTTP, WebSocket, event streams.

It keeps to no protocol by itself, so that tests can break each of them. Every wait has a deadline.
"""

import json
import socket
import struct
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import trio

from tests.patience import PATIENCE_S

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONNECT = json.dumps({"id": 1, "connect": {}})
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_RECEIVE_BYTES = 65_536
# SO_LINGER without time: closing resets the connection (socket(7)).
_AT_ONCE = struct.pack("ii", 1, 0)


class Answer(NamedTuple):
    """The head of a response.

    Attributes:
        status: the HTTP status.
        fields: header fields by name in lower case.
    """

    status: int
    fields: dict[str, str]


class Frame(NamedTuple):
    """A WebSocket frame of the node."""

    opcode: int
    payload: bytes

    @property
    def close(self) -> tuple[int, str]:
        """Code and reason of a close frame."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big"), self.payload[2:].decode()


class Raw:
    """One connection to a node; leaving the context closes it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    @classmethod
    async def open(cls, http: str, receive_bytes: int = 0) -> Self:
        """Connect.

        Args:
            http: the node's address.
            receive_bytes: of the kernel's receive buffer, 0 for its own choice; a small one fills soon.

        Raises:
            OSError: nobody listens.
        """
        parts = urlsplit(http)
        sock = trio.socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            with trio.fail_after(PATIENCE_S):
                await sock.connect((parts.hostname, parts.port))
        except BaseException:
            sock.close()
            raise
        return cls(trio.SocketStream(sock))

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        with trio.fail_after(PATIENCE_S):
            await self.stream.send_all(data)

    async def request(self, head: str, body: bytes = b"") -> None:
        """Send a request: its lines without line ends at their ends, then its body."""
        await self.send("\r\n".join([*head.split("\n"), "", ""]).encode() + body)

    async def post(self, path: str, body: dict[str, Any], *fields: str) -> dict[str, Any]:
        """Call a node's API over this connection; returns the answer's JSON."""
        data = json.dumps(body).encode()
        head = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(data)}", *fields]
        await self.request("\n".join(head), data)
        answer = await self.answer()
        assert answer.status == 200, answer
        return dict(json.loads(await self.body(answer)))

    async def answer(self) -> Answer:
        """Read the head of a response."""
        lines = (await self._until(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        return Answer(int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs})

    async def body(self, answer: Answer) -> bytes:
        """Read the body of a response with a length."""
        return await self._exactly(int(answer.fields["content-length"]))

    async def upgrade(self, path: str, *fields: str) -> Answer:
        """Ask for a WebSocket; returns the answer, which must be looked at where 101 is not certain."""
        head = [f"GET {path} HTTP/1.1", "Host: test", "Upgrade: websocket", "Connection: Upgrade"]
        await self.request(
            "\n".join([*head, f"Sec-WebSocket-Key: {_KEY}", "Sec-WebSocket-Version: 13", *fields])
        )
        return await self.answer()

    async def connected(self, path: str = "/connection/websocket") -> None:
        """Open a WebSocket and connect."""
        assert (await self.upgrade(path)).status == 101
        await self.send_text(CONNECT)
        assert "connect" in (await self.replies())[0]

    async def send_frame(
        self, opcode: int, payload: bytes, *, final: bool = True, reserved: int = 0, masked: bool = True
    ) -> None:
        """Send a WebSocket frame, right or wrong."""
        await self.send(frame(opcode, payload, final=final, reserved=reserved, masked=masked))

    async def send_text(self, text: str) -> None:
        """Send a text message."""
        await self.send_frame(TEXT, text.encode())

    async def frame(self) -> Frame:
        """Read the node's next frame."""
        first, size = await self._exactly(2)
        if size >= 126:
            size = int.from_bytes(await self._exactly(2 if size == 126 else 8), "big")
        return Frame(first & 0x0F, await self._exactly(size))

    async def replies(self) -> list[dict[str, Any]]:
        """Read the node's next message as replies of the client protocol in JSON; pings are passed over."""
        while (received := await self.frame()).opcode == PING:
            pass
        opcode, payload = received
        assert opcode == TEXT, (opcode, payload)
        return [json.loads(line) for line in payload.splitlines()]

    async def closed(self) -> tuple[int, str]:
        """Read up to the node's close frame; returns its code and reason."""
        while (received := await self.frame()).opcode != CLOSE:
            pass
        return received.close

    async def event(self) -> dict[str, str]:
        """Read the next event of an event stream; its fields, `retry` included."""
        text = (await self._until(b"\n\n")).decode()
        pairs = (line.partition(":") for line in text.split("\n") if line)
        return {name: value.removeprefix(" ") for name, _, value in pairs}

    async def line(self) -> str:
        """Read the next line of a stream; inside a body in chunks their lengths are lines too."""
        return (await self._until(b"\n")).decode()

    async def rest(self) -> bytes:
        """Read to the end of the connection, which a reset is too."""
        with trio.fail_after(PATIENCE_S):
            try:
                while data := await self.stream.receive_some(_RECEIVE_BYTES):
                    self._received += data
            except trio.BrokenResourceError:
                pass
        rest, self._received = self._received, b""
        return rest

    def reset(self) -> None:
        """Drop the connection as a crash does."""
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.stream.socket.close()

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
        with trio.fail_after(PATIENCE_S):
            data = await self.stream.receive_some(_RECEIVE_BYTES)
        if not data:
            raise EOFError(f"the node ended the connection after {self._received!r}")
        self._received += data

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await trio.aclose_forcefully(self.stream)


def frame(
    opcode: int, payload: bytes, *, final: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """A client's WebSocket frame; the mask is zero, which is a mask too."""
    first = final << 7 | reserved << 4 | opcode
    size, mask = len(payload), masked << 7
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (bytes(4) if masked else b"") + payload
