"""The limits that are put on aioquic, by clients that try to pass them."""

import random
from pathlib import Path
from typing import Any

import pytest
import trio
from aioquic.buffer import Buffer, encode_uint_var
from aioquic.h3.connection import ErrorCode, Setting, StreamType
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnectionError, QuicNetworkPath, QuicReceiveContext
from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.tls import Epoch

from node.door.http3_session import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, Quic
from tests.node.door.authority import Authority
from tests.node.door.quic_clients import Http3Client
from tests.node.door.quic_nodes import serving, until

API = "/api/publish"
KEY = (b"x-api-key", b"secret")


async def send_behind_a_gap(client: Http3Client, stream_id: int, end: int) -> None:
    """Send the last byte before an offset, and none of those between what was sent and that."""
    sender = client.quic._streams[stream_id].sender
    begin = sender._buffer_stop
    client.quic.send_stream_data(stream_id, bytes(end - begin))
    sender._pending.subtract(begin, end - 1)
    await client.transmit()


async def test_a_window_grows_with_what_has_arrived(tmp_path: Path) -> None:
    """Not with what was sent furthest: what is behind a gap makes no room for more."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = await client.begin("POST", API, KEY, last=False)
        await client.ask("GET", "/livez")
        stream = client.quic._streams[stream_id]
        await send_behind_a_gap(client, stream_id, stream.max_stream_data_remote)
        for _ in range(3):
            await client.ask("GET", "/livez")
        assert stream.max_stream_data_remote == STREAM_WINDOW_BYTES


async def test_gaps_on_many_streams_are_bounded_too(tmp_path: Path) -> None:
    """A stranger's packets with their gaps cost no more than a small window of the connection."""
    async with serving(tmp_path) as served, served.client() as client:
        for _ in range(60):
            stream_id = await client.begin("POST", API, KEY, last=False)
            await send_behind_a_gap(client, stream_id, STREAM_WINDOW_BYTES)
        (connection,) = served.node.quic._connections
        held = 0
        while held < STREAM_WINDOW_BYTES // 2:
            await trio.sleep(0.01)
            streams = connection._quic._streams.values()
            held = sum(len(stream.receiver._buffer) for stream in streams)
        assert held <= CONNECTION_WINDOW_BYTES
        assert client.quic._remote_max_data == CONNECTION_WINDOW_BYTES


async def test_a_body_as_long_as_allowed_arrives(tmp_path: Path) -> None:
    """The windows are no obstacle to what the door takes."""
    async with serving(tmp_path) as served, served.client() as client:
        for size in (10, 4000, 4900):
            body = b'{"channel":"past:a","data":"%s"}' % (b"x" * size)
            assert (await client.ask("POST", API, KEY, body=body))[0] == 200


async def test_what_is_said_of_us(tmp_path: Path) -> None:
    """No table of fields, the longest head, and no WebSockets."""
    async with serving(tmp_path) as served, served.client() as client:
        # They come on a stream of their own.
        await client.until(lambda: client.http.received_settings is not None)
        settings = client.http.received_settings
        assert settings is not None
        assert settings[Setting.QPACK_MAX_TABLE_CAPACITY] == 0
        assert settings[Setting.MAX_FIELD_SECTION_SIZE] == 16_384
        assert Setting.ENABLE_CONNECT_PROTOCOL not in settings


async def test_a_table_of_fields_is_refused(tmp_path: Path) -> None:
    """One byte of a head could stand for 4 kB with it."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = client.http._local_encoder_stream_id
        assert stream_id is not None
        # Set Dynamic Table Capacity, to 4096 (RFC 9204, section 4.3.1).
        client.quic.send_stream_data(stream_id, b"\x3f\xe1\x1f")
        await client.transmit()
        await client.until_over()
        assert client.over is not None
        assert client.over.error_code == ErrorCode.QPACK_ENCODER_STREAM_ERROR
        # Counted when the closing period is over (RFC 9000, section 10.2).
        await until(lambda: served.node.metrics.malformed["http3"] > 0)


@pytest.mark.parametrize("stream_type", [StreamType.CONTROL, StreamType.PUSH, 0x4242])
async def test_streams_of_one_direction(tmp_path: Path, stream_type: int) -> None:
    """A second control stream or a push end the connection; what nobody knows is read and dropped."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = client.quic.get_next_available_stream_id(is_unidirectional=True)
        client.quic.send_stream_data(stream_id, encode_uint_var(stream_type) + bytes(50_000))
        await client.transmit()
        if stream_type == 0x4242:
            assert (await client.ask("GET", "/livez"))[0] == 200
        else:
            await client.until_over()


async def test_frames_that_nobody_knows_are_not_kept(tmp_path: Path) -> None:
    """On a request's stream they are read over, however long."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = client.quic.get_next_available_stream_id()
        client.quic.send_stream_data(
            stream_id, encode_uint_var(0x4242) + encode_uint_var(2**30) + bytes(60_000)
        )
        assert (await client.ask("GET", "/livez"))[0] == 200
        (connection,) = served.node.quic._connections
        assert connection._http is not None
        # All of it has to come first, however it is cut into datagrams.
        streams = connection._quic._streams
        await until(lambda: stream_id in streams and streams[stream_id].receiver._buffer_start > 60_000)
        assert not connection._http._stream[stream_id].buffer


@pytest.mark.parametrize("seed", range(4))
async def test_noise_on_streams_fails_nothing(tmp_path: Path, seed: int) -> None:
    """Frames and header fields of any kind, on streams of any kind: only their connection ends."""
    chance = random.Random(seed)
    async with serving(tmp_path) as served:
        for _ in range(15):
            async with served.client() as client:
                for _ in range(6):
                    noise, last = chance.randbytes(chance.randrange(1, 300)), chance.random() < 0.5
                    one_way = chance.random() < 0.3
                    stream_id = client.quic.get_next_available_stream_id(is_unidirectional=one_way)
                    kind = encode_uint_var(chance.randrange(16))
                    frame = kind if one_way else kind + encode_uint_var(len(noise))
                    client.quic.send_stream_data(stream_id, frame + noise, last)
                    values = (b"GET", b"", b"*", b"/", b"/%ff%00", b"\xff", b"a b", b"https")
                    pseudo = (b":method", b":scheme", b":authority", b":path")
                    fields = [(name, chance.choice(values)) for name in pseudo]
                    client.http.send_headers(
                        client.quic.get_next_available_stream_id(), fields, end_stream=last
                    )
                    await client.transmit()
        async with served.client() as client:
            assert (await client.ask("GET", "/livez"))[0] == 200


def server(tmp_path: Path, stream_bytes_max: int = 100_000) -> Quic:
    """A connection that a client has begun, without the client."""
    options = Authority(tmp_path).options
    configuration = QuicConfiguration(is_client=False, max_stream_data=STREAM_WINDOW_BYTES)
    configuration.load_cert_chain(options.cert_pem, options.key_pem)
    quic = Quic(configuration, stream_bytes_max, bytes(8))
    quic._version = QuicProtocolVersion.VERSION_1
    quic._initialize(bytes(8))
    return quic


@pytest.mark.parametrize(
    ("handler", "frame_type", "stream", "code"),
    [
        ("_handle_stream_frame", 0x0E, encode_uint_var(0), QuicErrorCode.INTERNAL_ERROR),
        ("_handle_crypto_frame", 0x06, b"", QuicErrorCode.CRYPTO_BUFFER_EXCEEDED),
    ],
)
def test_gaps_are_few(
    tmp_path: Path, handler: str, frame_type: int, stream: bytes, code: QuicErrorCode
) -> None:
    """Every second byte of a stream, each alone, ends the connection, before its handshake and after it."""
    quic = server(tmp_path)
    context = QuicReceiveContext(Epoch.INITIAL, b"", QuicNetworkPath(("::1", 1)), None, 0.0, 1)
    taken = 0

    def send_pieces() -> None:
        nonlocal taken
        for offset in range(2, 20_000, 2):
            frame = stream + encode_uint_var(offset) + encode_uint_var(1) + b"x"
            getattr(quic, handler)(context, frame_type, Buffer(data=frame))
            taken += 1

    with pytest.raises(QuicConnectionError) as raised:
        send_pieces()
    assert raised.value.error_code == code
    assert 200 < taken < 1000


class Packet:
    """As much of a packet builder as a frame with a limit needs."""

    quic_logger_frames = None

    def __init__(self) -> None:
        self.frames: list[tuple[int, Buffer]] = []

    def start_frame(self, frame_type: int, **_: object) -> Buffer:
        """A frame, to be written by the caller."""
        self.frames.append((frame_type, Buffer(capacity=20)))
        return self.frames[-1][1]


def test_the_connections_window_waits_for_gaps(tmp_path: Path) -> None:
    """It does not grow while too much waits behind gaps, and does once they are filled."""
    quic = server(tmp_path)
    stream = quic._get_or_create_stream(0x0E, 0)
    stream.receiver._buffer += bytes(40_000)
    limit = quic._local_max_data
    limit.used, before = limit.value - 1, limit.value
    packet: Any = Packet()
    quic._write_connection_limits(packet, quic._spaces[Epoch.ONE_RTT])
    assert (packet.frames, limit.value) == ([], before)
    stream.receiver._buffer.clear()
    quic._write_connection_limits(packet, quic._spaces[Epoch.ONE_RTT])
    assert len(packet.frames) == 1
    assert limit.value == 2 * before


def test_the_last_window_is_told_again(tmp_path: Path) -> None:
    """A client whose window is as large as it will be learns of it although the first word of it is lost."""
    quic = server(tmp_path)
    stream = quic._get_or_create_stream(0x0E, 0)
    stream.receiver.highest_offset = stream.receiver._buffer_start = STREAM_WINDOW_BYTES
    packet: Any = Packet()
    for told in (1, 2):
        quic._write_stream_limits(packet, quic._spaces[Epoch.ONE_RTT], stream)
        assert len(packet.frames) == told
        assert stream.max_stream_data_local == 2 * STREAM_WINDOW_BYTES
        quic._on_max_stream_data_delivery(QuicDeliveryState.LOST, stream)
