"""One accepted TCP connection, on a non-blocking socket, a TlsSocket where the port speaks TLS.

Reading and writing wait on the socket itself: a stream object would cost every client memory and every
request time. The deadline is a moment of the shared timers, not a cancel scope: when it passes, the
receiving half is shut down, which wakes the reader with the end of the stream and leaves the way out open
for an answer.
"""

import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import trio

from node.door.head import Head
from node.door.response import response
from node.timers import Timers

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RECEIVE_BYTES = 65_536
# What a refused client may still send, and for how long, before its connection is closed over its answer.
_FAREWELL_BYTES_MAX = 1_048_576
_FAREWELL_S = 2.0


class Connection:
    """The door's end of a connection. One task reads; who serves the request writes.

    Args:
        sock: accepted and non-blocking; the connection closes it.
        peer: the client's address and port, for logs.
        timers: wake the connection when its deadline passes.

    Attributes:
        received: read from the socket and not used yet.
        late: the deadline has passed; `receive` finds the end of the stream.
        waiting: the client owes nothing: no byte of a further request has come.
        parting: the answer to each request is the last on the connection and says `Connection: close`.
        closing: no further request is wanted, not even a first one.
    """

    __slots__ = ("_timers", "closing", "due", "late", "parting", "peer", "received", "sock", "waiting")

    def __init__(self, sock: socket.socket, peer: str, timers: Timers) -> None:
        self.sock = sock
        self.peer = peer
        self.received = bytearray()
        self.late = False
        self.waiting = False
        self.parting = False
        self.closing = False
        self.due = 0
        self._timers = timers

    def receive(self) -> Coroutine[Any, Any, bytes]:
        """Wait for what came and is not used yet, or else for what comes next; b"" at the end of the stream.

        A broken connection is an ended one. Cancellation takes nothing. Always a checkpoint. No coroutine of
        its own: most clients wait here most of their lives, and each frame costs each of them 200 bytes.
        """
        return self._take_received() if self.received else self._receive_more()

    async def fill(self) -> bool:
        """Wait for more bytes and put them behind `received`; False at the end of the stream."""
        data = await self._receive_more()
        self.received += data
        return bool(data)

    def glance(self) -> None:
        """Take what is there already, without waiting: who stood in a backlog has sent its request by now.

        In plain text only, where whatever goes wrong, and the end, is found again by who waits.
        """
        with suppress(OSError):
            self.received += self.sock.recv(_RECEIVE_BYTES)

    async def _take_received(self) -> bytes:
        await trio.lowlevel.checkpoint()
        data = bytes(self.received)
        self.received.clear()
        return data

    async def _receive_more(self) -> bytes:
        while True:
            # Waiting first costs less than trying first: after an answer the next request is never there yet.
            await trio.lowlevel.wait_readable(self.sock)
            try:
                return self.sock.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                return b""

    async def send(self, data: bytes) -> bool:
        """Send all of it; False if the connection broke. TCP_USER_TIMEOUT ends a client that never reads."""
        while True:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            if sent == len(data):
                return True
            data = data[sent:]
            await trio.lowlevel.wait_writable(self.sock)

    async def invite_body(self, head: Head) -> None:
        """Ask for the request's body if the client waits for that before it sends any (RFC 9110, 10.1.1)."""
        if head.header("expect").lower() == "100-continue" and not self.received:
            await self.send(_CONTINUE)

    async def answer(
        self,
        head: Head | None,
        status: int,
        text: str = "",
        *,
        fields: str = "",
        close: bool = False,
    ) -> bool:
        """Answer a request with a short plain text.

        The request's body must have been read, or `close` be set: what is left of it would be taken for the
        next request otherwise.

        Args:
            head: the request; None where it could not be read, which closes.
            status: the HTTP status.
            text: the body, without its line end; "" for none.
            fields: further header lines, each with its CRLF.
            close: end the connection after this answer.

        Returns:
            Whether the connection may carry another request.
        """
        keep_alive = self.keeps_alive(head) and not close
        body = f"{text}\n".encode() if text else b""
        data = response(
            status,
            body,
            fields=fields,
            connection=connection_header(head, keep_alive=keep_alive),
            head_only=head is not None and head.method == "HEAD",
        )
        return await self.send_answer(data, keep_alive=keep_alive)

    async def send_answer(self, data: bytes, *, keep_alive: bool, heard_all: bool = False) -> bool:
        """Send a whole response; returns whether the connection may carry another request.

        Args:
            data: the response.
            keep_alive: see `keeps_alive`.
            heard_all: the client has said that this request was its last, and it had no body: nothing more
                comes that closing at once would reset the connection over.
        """
        if not await self.send(data):
            return False
        if not keep_alive and (self.received or not heard_all):
            await self._farewell()
        return keep_alive

    def keeps_alive(self, head: Head | None) -> bool:
        """Whether the client and this node both want another request on this connection."""
        return head is not None and head.keep_alive and not self.parting and not self.closing

    async def _farewell(self) -> None:
        """Let the last answer arrive: closing over unread bytes resets the connection (RFC 9112, 9.6)."""
        read = len(self.received)
        self.received.clear()
        with trio.move_on_after(_FAREWELL_S), suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            while read < _FAREWELL_BYTES_MAX and (data := await self._receive_more()):
                read += len(data)

    def expire_at(self, moment: float) -> None:
        """Set the deadline of what is being waited for.

        Args:
            moment: on trio's clock, seconds.
        """
        self._timers.arm(self, moment)

    def unexpire(self) -> None:
        """Take the deadline back."""
        self._timers.disarm(self)

    def tick(self, now: float) -> None:  # noqa: ARG002 - Timed's signature
        """See Timed: the deadline has passed."""
        self.late = True
        self.stop_receiving()

    def stop_receiving(self) -> None:
        """Wake the reader with the end of the stream."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close the socket; whoever waits for it wakes with ClosedResourceError. Idempotent."""
        self.unexpire()
        if self.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()


def address_text(host: str, port: int) -> str:
    """Address and port as they are written, with IPv6 in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connection_header(head: Head | None, *, keep_alive: bool) -> str:
    """What the Connection header of an answer says: only what the client would not assume (RFC 9112, 9.3)."""
    if not keep_alive:
        return "close"
    return "keep-alive" if head is not None and head.version == "1.0" else ""
