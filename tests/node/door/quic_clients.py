"""Clients of HTTP/3 that see every event, and some that break every rule; by aioquic."""

import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamReset


class Http3Client:
    """One connection.

    Args:
        address: of the server.
        configuration: of the client.

    Attributes:
        reading: False to leave the windows as they are, as a client does that never reads.
        fields: of responses, by stream.
        bodies: of responses, by stream.
        ended: streams whose response is complete.
        resets: streams that the server broke off, with its code.
        over: how the connection ended.
    """

    def __init__(self, address: tuple[str, int], configuration: QuicConfiguration) -> None:
        self._address = address
        self.sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.quic = QuicConnection(configuration=configuration)
        self.http = H3Connection(self.quic)
        self.reading = True
        self.established = False
        self.fields: dict[int, dict[bytes, bytes]] = {}
        self.bodies: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.over: ConnectionTerminated | None = None
        self.moved = trio.Condition()

    async def run(self) -> None:
        await self.sock.bind(("127.0.0.1", 0))
        self.quic.connect(self._address, now=trio.current_time())
        while self.over is None:
            await self.transmit()
            data = b""
            due_at = self.quic.get_timer() or trio.current_time()
            # `move` closes the socket.
            with trio.CancelScope(deadline=due_at), suppress(trio.ClosedResourceError):
                data, address = await self.sock.recvfrom(65_536)
                self._address = address
            if data:
                self.quic.receive_datagram(data, address, trio.current_time())
            else:
                self.quic.handle_timer(trio.current_time())
            while (event := self.quic.next_event()) is not None:
                if isinstance(event, ConnectionTerminated):
                    self.over = event
                elif isinstance(event, HandshakeCompleted):
                    self.established = True
                elif isinstance(event, StreamReset):
                    self.resets[event.stream_id] = event.error_code
                for http_event in self.http.handle_event(event):
                    self._take(http_event)
            async with self.moved:
                self.moved.notify_all()

    def _take(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self.fields[event.stream_id] = dict(event.headers)
        if isinstance(event, DataReceived):
            self.bodies[event.stream_id] += event.data
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended:
            self.ended.add(event.stream_id)

    async def move(self) -> None:
        """Go on from another port, as after a change of networks."""
        old, self.sock = self.sock, trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        await self.sock.bind(("127.0.0.1", 0))
        self.quic.change_connection_id()
        old.close()
        await self.transmit()

    async def transmit(self) -> None:
        """Send what is to be sent."""
        if self.quic.get_peer_address() is None:
            return
        for data, address in self.quic.datagrams_to_send(trio.current_time()):
            await self.sock.sendto(data, address)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so; the connection must not end before."""
        async with self.moved:
            while not condition():
                assert self.over is None, self.over
                await self.moved.wait()

    async def until_over(self) -> None:
        """Wait until the server has ended the connection."""
        async with self.moved:
            while self.over is None:
                await self.moved.wait()

    async def begin(self, method: str, path: str, *fields: tuple[bytes, bytes], last: bool = True) -> int:
        """Send the head of a request; returns its stream."""
        stream_id = self.quic.get_next_available_stream_id()
        pseudo = [(b":method", method.encode()), (b":scheme", b"https")]
        pseudo += [(b":authority", b"localhost"), (b":path", path.encode())]
        self.http.send_headers(stream_id, [*pseudo, *fields], end_stream=last)
        await self.transmit()
        return stream_id

    async def send(self, stream_id: int, data: bytes, *, last: bool) -> None:
        """Send some of a request's body."""
        self.http.send_data(stream_id, data, last)
        await self.transmit()

    async def ask(
        self, method: str, path: str, *fields: tuple[bytes, bytes], body: bytes = b""
    ) -> tuple[int, bytes]:
        """A whole request and its response: status and body."""
        stream_id = await self.begin(method, path, *fields, last=not body)
        if body:
            await self.send(stream_id, body, last=True)
        await self.until(lambda: stream_id in self.ended)
        return int(self.fields[stream_id][b":status"]), bytes(self.bodies[stream_id])

    async def received(self, stream_id: int, text: bytes) -> None:
        """Wait until a response has it, in what came last."""
        body = self.bodies[stream_id]
        await self.until(lambda: body.find(text, max(0, len(body) - 100_000)) >= 0)

    async def close(self) -> None:
        """Leave, and say so."""
        self.quic.close()
        await self.transmit()


def configuration(ca_pem: Path) -> QuicConfiguration:
    """Of a client that trusts only this authority."""
    options = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, server_name="localhost")
    options.load_verify_locations(cafile=str(ca_pem))
    return options


@asynccontextmanager
async def connected(address: tuple[str, int], options: QuicConfiguration) -> AsyncIterator[Http3Client]:
    """A client whose handshake is complete."""
    client = Http3Client(address, options)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            await client.until(lambda: client.established or client.over is not None)
            assert client.over is None
            try:
                yield client
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(1):
                    await client.close()
                nursery.cancel_scope.cancel()
    finally:
        client.sock.close()
