"""Server-sent events as a browser reads them (HTML standard, section 9.2.6). Sans-I/O."""

from typing import NamedTuple


class Event(NamedTuple):
    """One dispatched event, or a `retry:` by itself.

    Attributes:
        name: of its type; "" for a message.
        data: its lines, joined.
        last_id: the last id that came, with it or before.
    """

    name: str
    data: bytes
    last_id: str


class Events:
    """Cuts a stream into events.

    Args:
        last_id: what the client has from before.

    Attributes:
        last_id: the last id that came.
        retry_s: how long the server asked to wait before coming back, None if it did not.
    """

    __slots__ = ("_rest", "last_id", "retry_s")

    def __init__(self, last_id: str = "") -> None:
        self._rest = b""
        self.last_id = last_id
        self.retry_s: float | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete; a block cut off by the end of the stream is none."""
        data = self._rest + data
        if b"\r" in data:
            # A CR LF cut in two is one line end: its half waits for the other.
            held = data[-1:] if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        *blocks, self._rest = data.split(b"\n\n")
        return [event for block in blocks if (event := self._event(block)) is not None]

    def _event(self, block: bytes) -> Event | None:
        name, lines = "", []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                lines.append(value)
            elif field == b"id" and b"\0" not in value:
                self.last_id = value.decode()
            elif field == b"event":
                name = value.decode()
            elif field == b"retry" and value.isdigit():
                self.retry_s = int(value) / 1000
        return Event(name, b"\n".join(lines), self.last_id) if lines else None
