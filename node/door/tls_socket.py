"""A TLS connection in the shape of a non-blocking socket, so that whoever has a socket needs no other code.

`ssl.SSLSocket` could be one too, but its errors are not a socket's, it sends no buffers at once, and what it
reads may stay behind where waiting for the socket does not see it. Here the ciphertext is ours, on memory
BIOs: made in order, kept until the kernel takes it, never made twice. No task, no waiting: those are `tls`.
"""

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress

# Plaintext of one record, bytes (RFC 8446, section 5.1): so much may wait as ciphertext for one client, since
# nothing is encrypted before what was encrypted earlier is out.
_RECORD_BYTES = 16_384
_RECEIVE_BYTES = 16_384
# What TLS itself has to say (tickets, key updates, alerts) and the client does not read, bytes. Without a
# limit a client could ask for answers for ever.
_UNREAD_BYTES_MAX = 65_536


# Not kept bound: that would be a cycle for the garbage collector with every client.
_send_raw = socket.socket.send


class TlsSocket(socket.socket):
    """The server's end of a TLS connection; takes over the socket it is made of.

    `send` and `sendmsg` count plaintext: what they say was sent is out, ciphertext and all, so nothing waits
    here that the caller does not know of. What they do not count must be given again first, as it was.

    Args:
        sock: accepted, non-blocking and not used any more by others.
        context: the server's certificate and rules.
        received: what was read of it already.
    """

    __slots__ = ("_incoming", "_outgoing", "_over", "_owed", "_tls", "_unsent")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, received: bytes) -> None:
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())
        self.setblocking(False)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(received)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        # Ciphertext that the kernel has not taken, and how much plaintext of the caller it stands for.
        self._unsent = b""
        self._owed = 0
        # We have said that nothing more comes.
        self._over = False

    def shake_hands(self) -> bool:
        """Go on with the handshake; returns whether it is complete. `flush` what it has to say.

        Raises:
            ssl.SSLError: the client cannot be agreed with.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._collect()
        return True

    def feed(self) -> bool:
        """Take what has come for the handshake; False at the end of the stream.

        Raises:
            BlockingIOError: nothing has come.
            OSError: the connection is broken.
        """
        data = super().recv(_RECEIVE_BYTES)
        self._incoming.write(data)
        return bool(data)

    def flush(self) -> bool:
        """Hand ciphertext to the kernel; returns whether all of it is there.

        Raises:
            OSError: the connection is broken.
        """
        if self._unsent:
            try:
                sent = _send_raw(self, self._unsent)
            except BlockingIOError:
                return False
            self._unsent = self._unsent[sent:]
        return not self._unsent

    def send(self, data: bytes, *_: object) -> int:  # type: ignore[override]  # flags are not for TLS
        """See the class and `socket.send`.

        Raises:
            BlockingIOError: nothing of it is out.
            OSError: the connection is broken.
        """
        if self._unsent or not 0 < len(data) <= _RECORD_BYTES:
            return self._send_records(data)
        self._tls.write(data)
        unsent = self._outgoing.read()
        try:
            sent = _send_raw(self, unsent)
        except BlockingIOError:
            sent = 0
        if sent < len(unsent):
            self._unsent = unsent[sent:]
            self._owed = len(data)
            return 0
        return len(data)

    def sendmsg(self, buffers: Iterable[bytes], *_: object) -> int:  # type: ignore[override]  # no ancillary data
        """See `send`; what is encrypted and not out is the beginning of the first buffer that is left."""
        total = 0
        for data in buffers:
            try:
                sent = self.send(data)
            except BlockingIOError:
                if not total:
                    raise
                return total
            total += sent
            if sent < len(data):
                break
        return total

    def _send_records(self, data: bytes) -> int:
        """Send in pieces, the first of which may be encrypted already."""
        if not data:
            return 0
        if not self.flush():
            raise BlockingIOError
        sent, self._owed = self._owed, 0
        while sent < len(data):
            piece = data[sent : sent + _RECORD_BYTES]
            self._tls.write(piece)
            self._unsent = self._outgoing.read()
            if not self.flush():
                self._owed = len(piece)
                break
            sent += len(piece)
        return sent

    def recv(self, *_: object) -> bytes:
        """What one read of the socket was worth; b"" at the end of the stream, said in TLS or not.

        Nothing that could be had stays behind: waiting for the socket is waiting for more.

        Raises:
            BlockingIOError: nothing for the caller has come.
            OSError: the connection is broken, or what came is no TLS.
        """
        data = super().recv(_RECEIVE_BYTES)
        if not data:
            return b""
        if self._over:
            raise BlockingIOError
        self._incoming.write(data)
        return self.take()

    def take(self) -> bytes:
        """What has come and is the caller's; see `recv`."""
        pieces = []
        try:
            # One record at a time; b"" after the client's goodbye.
            while piece := self._tls.read(_RECORD_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            if not pieces:
                raise BlockingIOError from None
        finally:
            self._answer()
        return b"".join(pieces)

    def _answer(self) -> None:
        """Send what TLS has to say to what came."""
        if self._outgoing.pending:
            self._collect()
            self.flush()
            if len(self._unsent) > _UNREAD_BYTES_MAX:
                raise BrokenPipeError("the client asks for answers and reads none")

    def _collect(self) -> None:
        self._unsent += self._outgoing.read()

    def shutdown(self, how: int, /) -> None:
        """See `socket.shutdown`; the client is told first that nothing more comes (RFC 8446, section 6.1)."""
        if how != socket.SHUT_RD:
            self._say_goodbye()
        super().shutdown(how)

    def close(self) -> None:
        """See `socket.close` and `shutdown`."""
        if self.fileno() >= 0:
            self._say_goodbye()
        super().close()

    def _say_goodbye(self) -> None:
        if self._over or self._unsent:
            # After half a record nothing can be said.
            return
        self._over = True
        # The client's own goodbye is not waited for, and the connection may be broken.
        with suppress(OSError):
            self._tls.unwrap()
        self._collect()
        with suppress(OSError):
            self.flush()

    @property
    def protocol(self) -> str:
        """What the two agreed to speak (ALPN): "h2", "http/1.1", or "" for nothing."""
        return self._tls.selected_alpn_protocol() or ""
