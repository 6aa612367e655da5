"""Pings of HTTP/2 in both directions: a client that has gone is found, one that asks too often is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame

from node.grpc.loop import in_asyncio
from node.grpc.server import GrpcServer
from tests.node.grpc.test_server import SERVICE, Service, on_server
from tests.patience import PATIENCE_S

WAIT = f"/{SERVICE}/Wait"


class Http2Client:
    """A client with one stream that sees every frame.

    Args:
        stream: to the server.
        answers: whether the server's pings are answered.

    Attributes:
        answers: the same; may be changed.
        frames: what came, in order.
        over: the server has closed the connection.
    """

    def __init__(self, stream: trio.SocketStream, *, answers: bool) -> None:
        self._stream = stream
        self._received = bytearray()
        self.answers = answers
        self.frames: list[Frame] = []
        self.over = False

    async def begin(self) -> None:
        """Call `Wait`, and read its first message."""
        connection = H2Connection(H2Configuration(client_side=True))
        connection.initiate_connection()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", WAIT), (":authority", "test")]
        connection.send_headers(1, [*fields, ("te", "trailers"), ("content-type", "application/grpc")])
        connection.send_data(1, bytes(5), end_stream=True)
        await self._stream.send_all(connection.data_to_send())
        while not self.came(DataFrame):
            await self.receive()

    async def ping(self) -> None:
        """Ask, and wait for the answer or the end."""
        answered = len(self.pings(answers=True))
        await self._stream.send_all(PingFrame(opaque_data=bytes(8)).serialize())
        while len(self.pings(answers=True)) == answered and not self.over:
            await self.receive()

    async def receive(self) -> None:
        """Take what comes next."""
        try:
            data = await self._stream.receive_some()
        except trio.BrokenResourceError:
            data = b""
        self.over = not data
        self._received += data
        while len(self._received) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(bytes(self._received[:9])))
            if len(self._received) < 9 + length:
                break
            frame.parse_body(memoryview(bytes(self._received[9 : 9 + length])))
            del self._received[: 9 + length]
            self.frames.append(frame)
            await self._answer(frame)

    async def _answer(self, frame: Frame) -> None:
        if "ACK" in frame.flags:
            return
        if isinstance(frame, SettingsFrame):
            await self._stream.send_all(SettingsFrame(flags=["ACK"]).serialize())
        elif isinstance(frame, PingFrame) and self.answers:
            await self._stream.send_all(PingFrame(opaque_data=frame.opaque_data, flags=["ACK"]).serialize())

    def came(self, kind: type[Frame]) -> list[Any]:
        """The frames of a kind."""
        return [frame for frame in self.frames if isinstance(frame, kind)]

    def pings(self, *, answers: bool = False) -> list[Any]:
        """The server's pings, or its answers to ours."""
        return [frame for frame in self.came(PingFrame) if ("ACK" in frame.flags) == answers]


@asynccontextmanager
async def connected(server: GrpcServer, *, answers: bool = True) -> AsyncIterator[Http2Client]:
    """A client whose stream has begun."""
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        client = Http2Client(stream, answers=answers)
        await client.begin()
        yield client


def test_a_client_that_answers_pings_stays() -> None:
    """It is asked after each `keepalive_s` without a word, and its stream goes on."""

    async def test(server: GrpcServer, service: Service) -> None:
        async with connected(server) as client:
            while len(client.pings()) < 5:
                await client.receive()
                assert not client.over
            service.word.set()
            while "END_STREAM" not in client.came(HeadersFrame)[-1].flags:
                await client.receive()

    on_server(test, keepalive_s=0.1, keepalive_timeout_s=PATIENCE_S)


@pytest.mark.parametrize("answered", [0, 3])
def test_a_client_that_answers_no_ping_is_let_go(answered: int) -> None:
    """After `keepalive_timeout_s`, whatever the ping was for: TCP may take hours to find out."""

    async def test(server: GrpcServer, _: Service) -> None:
        async with connected(server, answers=answered > 0) as client:
            while not client.over:
                await client.receive()
                client.answers = len(client.pings()) < answered
            assert client.pings()

    on_server(test, keepalive_s=0.1, keepalive_timeout_s=0.1)


@pytest.mark.parametrize(("at_most_every_s", "stays"), [(PATIENCE_S, False), (0.01, True)])
def test_pings_of_clients_are_limited(at_most_every_s: float, stays: bool) -> None:
    """More than one in `client_keepalive_min_s`, again and again: GOAWAY with ENHANCE_YOUR_CALM."""

    async def test(server: GrpcServer, _: Service) -> None:
        async with connected(server) as client:
            while len(client.pings(answers=True)) < 6 and not client.over:
                await client.ping()
                await trio.sleep(0.02)
            ends = [(frame.error_code, frame.additional_data) for frame in client.came(GoAwayFrame)]
        assert ends[:1] == ([] if stays else [(ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings")])
        assert client.over is not stays

    on_server(test, client_keepalive_min_s=at_most_every_s)


def test_grpcios_client_is_told_that_it_pings_too_often() -> None:
    """Its stream ends UNAVAILABLE, for this reason."""

    async def test(server: GrpcServer, _: Service) -> None:
        await in_asyncio(ping_often, server.port)

    async def ping_often(port: int) -> None:
        options = [("grpc.keepalive_time_ms", 50), ("grpc.http2.max_pings_without_data", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            wait: Any = channel.unary_stream(WAIT)
            stream = wait(b"", timeout=PATIENCE_S)
            assert await stream.read() == b"waiting"
            with pytest.raises(grpc.aio.AioRpcError, match=r"(?i)too.many.pings") as ended:
                await stream.read()
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE

    on_server(test, client_keepalive_min_s=PATIENCE_S)
