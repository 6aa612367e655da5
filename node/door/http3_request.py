"""One request over HTTP/3 in ASGI's form: what came of it waits here; who answers waits for the client."""

from collections.abc import Iterable
from time import time
from typing import Protocol
from urllib.parse import unquote

import trio

from node.door.asgi_request import Message, Scope
from node.door.response import http_date

Fields = list[tuple[bytes, bytes]]

# A response waits while so much of it was not acknowledged by its client, bytes: enough for 10 Mbit/s over
# 50 ms.
UNACKNOWLEDGED_BYTES_MAX = 65_536
# What of a body may wait for its reader, and what may come after the answer, bytes.
_UNREAD_BYTES_MAX = 1_048_576
# With these there is never a body (RFC 9110, section 6.4.1).
_BODILESS = frozenset((204, 304))


class Way(Protocol):
    """The connection, as its requests know it.

    Attributes:
        moved: woken with every datagram of the client.
    """

    moved: trio.lowlevel.ParkingLot

    def unacknowledged(self, stream_id: int) -> int:
        """What was sent on a stream and is not acknowledged, bytes."""

    def delivered(self, stream_id: int) -> bool:
        """Whether all that was sent on a stream, its end included, has arrived."""

    def send_fields(self, stream_id: int, fields: Fields) -> None:
        """Begin a response."""

    def send_data(self, stream_id: int, data: bytes, *, last: bool) -> None:
        """Go on with a response, or end it."""

    def cancel(self, stream_id: int) -> None:
        """End a response that is not complete."""

    def overload(self) -> None:
        """The client sends more than it may: end its connection."""


class MalformedRequest(Exception):
    """The header fields are no request."""


class Request:
    """One stream of a client.

    Args:
        stream_id: of the stream.
        fields: of the request, the pseudo-header fields included (RFC 9114, section 4.3.1).
        peer: the client's address and port.
        way: the connection.
        silent_max_s: how long the client may read nothing that it is sent.

    Attributes:
        stream_id: of the stream.
        scope: ASGI's.
        gone: nothing can be said to the client any more, or all has been.

    Raises:
        MalformedRequest: see there.
    """

    def __init__(
        self, stream_id: int, fields: Fields, peer: tuple[str, int], way: Way, silent_max_s: float
    ) -> None:
        self.scope = _scope(fields, peer)
        self.scope["state"] = {"abort": self.abort}
        self.gone = False
        self.stream_id = stream_id
        self._way = way
        self._silent_max_s = silent_max_s
        self._body = bytearray()
        self._body_ended = self._body_given = False
        self._unread = 0
        self._status = 0
        self._arrived = trio.lowlevel.ParkingLot()

    def put(self, data: bytes, *, last: bool) -> None:
        """Take what came of the body.

        Args:
            data: the bytes.
            last: nothing comes after them.
        """
        self._unread += len(data)
        if self._unread > _UNREAD_BYTES_MAX:
            self._way.overload()
            return
        if not self.gone:
            self._body += data
        self._body_ended = self._body_ended or last
        self._arrived.unpark_all()

    def lose(self) -> None:
        """The client has gone, or there is nothing to be said to it any more."""
        self.gone = True
        self._body.clear()
        self._arrived.unpark_all()
        self._way.moved.unpark_all()

    def abort(self) -> None:
        """End the stream now, with half a response if need be."""
        if not self.gone:
            self._way.cancel(self.stream_id)
            self.lose()

    async def receive(self) -> Message:
        """See ASGI: the body, and then, once, the end."""
        await trio.lowlevel.checkpoint()
        while not self.gone:
            if self._body or (self._body_ended and not self._body_given):
                data = bytes(self._body)
                self._body.clear()
                self._unread = 0
                self._body_given = self._body_ended
                return {"type": "http.request", "body": data, "more_body": not self._body_ended}
            await self._arrived.park()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """See ASGI; waits until the client has taken most of what was sent. Nothing happens once it has gone.

        A client that takes nothing for too long loses the stream.
        """
        await trio.lowlevel.checkpoint()
        if self.gone:
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._way.send_fields(
                self.stream_id,
                [
                    (b":status", b"%d" % self._status),
                    (b"date", http_date(int(time())).encode()),
                    *message["headers"],
                ],
            )
            return
        last = not message.get("more_body", False)
        data = message.get("body", b"")
        if self.scope["method"] == "HEAD" or self._status in _BODILESS:
            data = b""
        if data or last:
            self._way.send_data(self.stream_id, data, last=last)
        left = self._way.unacknowledged(self.stream_id)
        with trio.move_on_after(self._silent_max_s) as patience:
            while not self.gone and not self._taken(last=last):
                await self._way.moved.park()
                if (now_left := self._way.unacknowledged(self.stream_id)) < left:
                    left = now_left
                    patience.deadline = trio.current_time() + self._silent_max_s
        if patience.cancelled_caught:
            self.abort()
        elif last:
            self.lose()

    def _taken(self, *, last: bool) -> bool:
        if last:
            return self._way.delivered(self.stream_id)
        return self._way.unacknowledged(self.stream_id) <= UNACKNOWLEDGED_BYTES_MAX


def check_size(fields: Fields, bytes_max: int) -> None:
    """Whether the fields are as short as the door wants a head.

    Args:
        fields: of a request, uncompressed.
        bytes_max: `http_server.head_bytes_max`.

    Raises:
        MalformedRequest: they are not.
    """
    if sum(len(name) + len(value) for name, value in fields) > bytes_max:
        raise MalformedRequest(f"the header fields are longer than {bytes_max} bytes")


def _scope(fields: Iterable[tuple[bytes, bytes]], peer: tuple[str, int]) -> Scope:
    pseudo = {name: value for name, value in fields if name.startswith(b":")}
    plain = [(name, value) for name, value in fields if not name.startswith(b":")]
    try:
        method, target = pseudo[b":method"].decode("ascii"), pseudo[b":path"]
        authority = pseudo[b":authority"]
        path, _, query = target.partition(b"?")
        decoded = unquote(path.decode("ascii"))
    except (KeyError, UnicodeDecodeError) as error:
        raise MalformedRequest("a request needs :method, :path and :authority, in ASCII") from error
    # RFC 9114, section 4.3.1: a Host field says the same, if there is one.
    headers = [(b"host", authority), *((name, value) for name, value in plain if name != b"host")]
    # RFC 9114, section 4.2.1: cookies may come one by one and are one field to everybody else.
    if len(cookies := [value for name, value in headers if name == b"cookie"]) > 1:
        headers = [field for field in headers if field[0] != b"cookie"]
        headers.append((b"cookie", b"; ".join(cookies)))
    return {
        "type": "http",
        "http_version": "3",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "method": method,
        "scheme": "https",
        "path": decoded,
        "raw_path": path,
        "query_string": query,
        "headers": headers,
        "client": peer,
        "extensions": {},
    }
