"""A client over HTTP/3 for the load generator, in the shape of the sockets that it has for the others.

It has no clock: what it sends is acknowledged at once and never lost on the loopback, so nothing is repeated.
"""

import socket
import ssl
import time

from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent

# So much that nobody waits for a window, and no word about windows is sent.
_WINDOW = 2**40
# Longer than any benchmark waits.
_IDLE_S = 600.0
# A client acknowledges after a moment, in case there is more; said to be over, that takes no timer.
_MOMENT_S = 0.01
_DATAGRAM_BYTES = 2048


class Http3Client:
    """One request whose response does not end.

    Args:
        port: on the loopback.
        request: its path.
    """

    def __init__(self, port: int, request: bytes) -> None:
        self._address = ("127.0.0.1", port)
        self._request = request
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.connect(self._address)
        self._quic = QuicConnection(
            configuration=QuicConfiguration(
                alpn_protocols=H3_ALPN,
                idle_timeout=_IDLE_S,
                max_data=_WINDOW,
                max_stream_data=_WINDOW,
                server_name="localhost",
                verify_mode=ssl.CERT_NONE,
            )
        )
        self._http = H3Connection(self._quic)
        self._over = False
        self._quic.connect(self._address, now=time.monotonic())
        self._transmit()
        self._sock.setblocking(False)

    def fileno(self) -> int:
        """Of its socket."""
        return self._sock.fileno()

    def recv(self, _: int) -> bytes | None:
        """What came of the response; None if nothing did, b"" once the connection has ended."""
        try:
            while True:
                self._quic.receive_datagram(self._sock.recv(_DATAGRAM_BYTES), self._address, time.monotonic())
        except BlockingIOError:
            pass
        came = b""
        while (event := self._quic.next_event()) is not None:
            came += self._handle(event)
        self._transmit()
        return came or (b"" if self._over else None)

    def sendall(self, _: bytes) -> None:
        """There is nothing to be said after the request."""

    def close(self) -> None:
        """Leave, and say so."""
        self._quic.close()
        self._transmit()
        self._sock.close()

    def _handle(self, event: QuicEvent) -> bytes:
        if isinstance(event, HandshakeCompleted):
            fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", self._request)]
            fields += [(b":authority", b"localhost"), (b"accept", b"text/event-stream")]
            self._http.send_headers(self._quic.get_next_available_stream_id(), fields, end_stream=True)
        self._over = self._over or isinstance(event, ConnectionTerminated)
        parts = self._http.handle_event(event)
        return b"".join(part.data for part in parts if isinstance(part, DataReceived))

    def _transmit(self) -> None:
        for data, _ in self._quic.datagrams_to_send(time.monotonic() + _MOMENT_S):
            self._sock.send(data)
