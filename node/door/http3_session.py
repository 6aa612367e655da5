"""HTTP/3 and QUIC by aioquic (sans-I/O), with the limits that a server for strangers needs and aioquic lacks.

What is overridden here belongs to aioquic's inside; `tests/node/door/test_http3_session.py` shows what
breaks when that changes.
"""

from aioquic._buffer import Buffer
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode, FrameType, H3Connection, Setting, encode_frame
from aioquic.h3.events import H3Event
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import Limit, QuicConnection, QuicConnectionError, QuicReceiveContext
from aioquic.quic.events import QuicEvent, StreamDataReceived
from aioquic.quic.packet import QuicErrorCode
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from pylsqpack import Decoder

# What a client may send ahead on one stream, bytes; more with each part that has arrived without a gap.
STREAM_WINDOW_BYTES = 65_536
# The same of all streams of a connection, at first.
CONNECTION_WINDOW_BYTES = 131_072
# What may wait behind gaps on all streams of a connection before it may not send more, bytes. aioquic makes
# room for the gaps too, so that each small packet of a stranger may cost a whole window of memory.
_GAPPED_BYTES_MAX = 32_768
# In how many pieces it may wait on one stream: aioquic looks through all of them for each that comes, and
# with tens of thousands one packet would hold up the node for a fifth of a second.
_PIECES_MAX = 256
# "No request of yours is refused, but make the next ones elsewhere" (RFC 9114, section 5.2).
_EVERY_REQUEST = 2**62 - 4


class Quic(QuicConnection):
    """A QUIC connection whose windows grow with what has arrived.

    By itself aioquic lets them grow with the highest offset seen, and makes room up to there: a few small
    packets, each at the end of its window, would take all memory.

    Args:
        configuration: of a server.
        stream_bytes_max: what a client may send on one stream.
        original_id: what the client called the connection at first.
        retry_id: what it was told to call it then, None if it was not.

    Attributes:
        closed: it was we who ended it, and not the client.
    """

    def __init__(
        self,
        configuration: QuicConfiguration,
        stream_bytes_max: int,
        original_id: bytes,
        retry_id: bytes | None = None,
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_id,
            retry_source_connection_id=retry_id,
        )
        self._stream_bytes_max = stream_bytes_max
        self.closed = False

    def close(
        self,
        error_code: int = QuicErrorCode.NO_ERROR,
        frame_type: int | None = None,
        reason_phrase: str = "",
    ) -> None:
        """See QuicConnection."""
        self.closed = True
        super().close(error_code, frame_type, reason_phrase)

    def unacknowledged(self, stream_id: int) -> int:
        """What was given to a stream and its client has not confirmed, bytes.

        Args:
            stream_id: the stream's; one that has ended holds nothing.
        """
        stream = self._streams.get(stream_id)
        return 0 if stream is None else len(stream.sender._buffer)  # noqa: SLF001 - told by nothing else

    def delivered(self, stream_id: int) -> bool:
        """Whether all that was given to a stream, its end included, is confirmed."""
        stream = self._streams.get(stream_id)
        return stream is None or stream.sender.is_finished

    def receives(self, stream_id: int) -> bool:
        """Whether the client may still send on a stream."""
        stream = self._streams.get(stream_id)
        return stream is not None and not stream.receiver.is_finished

    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> QuicStream:
        stream = super()._get_or_create_stream(frame_type, stream_id)
        _check_pieces(stream, QuicErrorCode.INTERNAL_ERROR, frame_type)
        return stream

    def _handle_crypto_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        stream = self._crypto_streams[context.epoch]
        _check_pieces(stream, QuicErrorCode.CRYPTO_BUFFER_EXCEEDED, frame_type)
        super()._handle_crypto_frame(context, frame_type, buf)

    def _gapped(self) -> int:
        streams = self._streams.values()
        return sum(len(stream.receiver._buffer) for stream in streams)  # noqa: SLF001 - as above

    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        receiver = stream.receiver
        stopped = receiver._stop_error_code is not None  # noqa: SLF001 - as above
        complete = receiver.highest_offset == receiver.starting_offset()
        may_grow = complete and not stopped and stream.max_stream_data_local < self._stream_bytes_max
        # A window that aioquic would leave as it is may have to be told again.
        if may_grow or receiver.highest_offset * 2 <= stream.max_stream_data_local:
            super()._write_stream_limits(builder, space, stream)

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        limit: Limit = self._local_max_data
        if limit.used * 2 <= limit.value or self._gapped() <= _GAPPED_BYTES_MAX:
            super()._write_connection_limits(builder, space)


def _check_pieces(stream: QuicStream, code: int, frame_type: int) -> None:
    if len(stream.receiver._ranges) > _PIECES_MAX:  # noqa: SLF001 - as above
        raise QuicConnectionError(code, frame_type, "too many gaps")


class Http3(H3Connection):
    """HTTP/3 on a QUIC connection.

    Args:
        quic: the connection, after its handshake.
        head_bytes_max: the longest frame of header fields that is waited for.
    """

    def __init__(self, quic: Quic, head_bytes_max: int) -> None:
        self._head_bytes_max = head_bytes_max
        self._receives = quic.receives
        super().__init__(quic)

    def _init_connection(self) -> None:
        # A table of the client's would let one byte stand for a field of 4 kB.
        self._max_table_capacity = self._blocked_streams = 0
        self._decoder = Decoder(0, 0)
        super()._init_connection()

    def _get_local_settings(self) -> dict[int, int]:
        settings = super()._get_local_settings()
        # WebSockets (RFC 9220) are not spoken.
        del settings[Setting.ENABLE_CONNECT_PROTOCOL]
        return {**settings, Setting.MAX_FIELD_SECTION_SIZE: self._head_bytes_max}

    def handle_event(self, event: QuicEvent) -> list[H3Event]:
        """See H3Connection; a client that sends no end of a frame of header fields ends its connection."""
        events = super().handle_event(event)
        if isinstance(event, StreamDataReceived):
            stream = self._stream.get(event.stream_id)
            if stream is not None and len(stream.buffer) > self._head_bytes_max:
                self.fail("a frame is too long")
        return events

    def fail(self, reason: str) -> None:
        """End the connection of a client that asks for too much.

        Args:
            reason: told to the client.
        """
        self._is_done = True
        self._quic.close(ErrorCode.H3_EXCESSIVE_LOAD, reason_phrase=reason)

    def cancel(self, stream_id: int, code: int = ErrorCode.H3_REQUEST_CANCELLED) -> None:
        """End a stream whose response is not complete, nor will be (RFC 9114, section 4.1.1).

        Args:
            stream_id: the stream's.
            code: told to the client.
        """
        self._quic.reset_stream(stream_id, code)
        self.ignore(stream_id)
        stream = self._stream.get(stream_id)
        if stream is not None:
            stream.sending_ended = True
            if stream.is_ended():
                del self._stream[stream_id]

    def ignore(self, stream_id: int) -> None:
        """Ask the client to send no more of a request that has been answered (RFC 9114, section 4.1).

        Args:
            stream_id: the stream's; one on which nothing is sent any more is left alone.
        """
        if self._receives(stream_id):
            self._quic.stop_stream(stream_id, ErrorCode.H3_NO_ERROR)

    def go_away(self) -> None:
        """Tell the client to make its next requests on another connection."""
        frame = encode_frame(FrameType.GOAWAY, encode_uint_var(_EVERY_REQUEST))
        if self._local_control_stream_id is not None:
            self._quic.send_stream_data(self._local_control_stream_id, frame)
