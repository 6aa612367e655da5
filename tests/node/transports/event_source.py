"""An EventSource for tests: the parser of the HTML standard, section 9.2.6, written from its text."""

import json
import re
from dataclasses import dataclass
from typing import Any

import trio

from tests.node.transports.served import Served


@dataclass(slots=True)
class Event:
    """One dispatched event."""

    type: str
    data: str
    id: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Parser:
    """Bytes in, events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._type = ""
        self.last_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self.events: list[Event] = []

    def feed(self, data: bytes) -> None:
        *lines, self._rest = re.split(rb"\r\n|\n|\r", self._rest + data)
        for line in lines:
            self._line(line.decode())

    def _line(self, line: str) -> None:
        if not line:
            if self._data:
                self.events.append(Event(self._type or "message", "\n".join(self._data), self.last_id))
            self._data, self._type = [], ""
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                self.comments += 1
            case "data":
                self._data.append(value)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isdigit():
                self.retry_ms = int(value)
            case _:
                raise AssertionError(f"a field that no server here sends: {line!r}")


class EventSource:
    """One request for a stream."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.parser = Parser()
        self.ended = False
        self.head = ""
        self.status = 0
        self.body = b""

    @classmethod
    async def open(
        cls, node: Served, target: str, *fields: str, method: str = "GET", body: bytes = b""
    ) -> "EventSource":
        """Send the request and read the head of the response."""
        source = cls(await node.connect())
        lines = (f"{method} {target} HTTP/1.1", "Host: localhost", *fields, "", "")
        await source.stream.send_all("\r\n".join(lines).encode() + body)
        data = b""
        while b"\r\n\r\n" not in data:
            received = await source.stream.receive_some()
            assert received, data
            data += received
        head, _, rest = data.partition(b"\r\n\r\n")
        source.head = head.decode() + "\r\n"
        source.status = int(head.split(b" ")[1])
        source._take(rest)
        return source

    def header(self, name: str) -> str:
        """A header of the response, "" if absent."""
        return self.head.partition(f"\r\n{name}: ")[2].partition("\r\n")[0]

    def _take(self, data: bytes) -> None:
        self.body += data
        if self.status == 200:
            self.parser.feed(data)

    async def _receive(self) -> None:
        data = await self.stream.receive_some()
        self.ended = not data
        self._take(data)

    async def event(self) -> Event:
        """The next event."""
        while not self.parser.events:
            assert not self.ended
            await self._receive()
        return self.parser.events.pop(0)

    async def rest(self) -> list[Event]:
        """The events until the server ends the stream."""
        while not self.ended:
            await self._receive()
        return self.parser.events
