"""WebSocket frames: what servers send, prepared as bytes, and what clients send, read piece by piece.

Sans-I/O: no socket, no clock, no logging. The reader is our own because it is what a client costs most
often: against the server protocol of the `websockets` package it takes 1.0 us instead of 3.0 for a small
command and 0.13 kB instead of 1.4 per connection (with that package's handshake: 7 kB), and it hands out
one message at a time, so ten thousand tiny frames in one segment never become ten thousand objects.
That package stays its judge in the tests. Extensions are never agreed, so reserved bits are errors.
"""

from struct import Struct

from node.protocol.errors import RemoteProtocolError
from node.protocol.reasons import DisconnectReason

try:
    from websockets.speedups import apply_mask
except ImportError:  # the package was built without its C extension
    from websockets.utils import apply_mask

# RFC 6455, section 11.8.
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))

# RFC 6455, section 7.4.1: what a client that broke the framing is closed with.
PROTOCOL_ERROR = DisconnectReason(1002, "protocol error")
INVALID_DATA = DisconnectReason(1007, "invalid frame payload data")
MESSAGE_TOO_BIG = DisconnectReason(1009, "message size limit exceeded")

_FIN = 0x80
_RESERVED = 0x70
_MASKED = 0x80
# RFC 6455, section 5.5: "All control frames MUST have a payload length of 125 bytes or less".
_CONTROL_BYTES_MAX = 125
_MEDIUM = Struct("!BBH")
_LARGE = Struct("!BBQ")


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole, unmasked frame, as RFC 6455, section 5.2 draws it.

    Args:
        opcode: TEXT, BINARY, CLOSE, PING or PONG.
        payload: its data; a control frame's has at most 125 bytes.
    """
    size = len(payload)
    if size < 126:
        return bytes((_FIN | opcode, size)) + payload
    if size < 65_536:
        return _MEDIUM.pack(_FIN | opcode, 126, size) + payload
    return _LARGE.pack(_FIN | opcode, 127, size) + payload


def close_frame(reason: DisconnectReason) -> bytes:
    """A goodbye with its code and as much of its text as fits into a control frame."""
    # Cut between characters: the receiver has to fail the connection on half of one.
    text = reason.reason.encode()[: _CONTROL_BYTES_MAX - 2].decode(errors="ignore")
    return frame(CLOSE, reason.code.to_bytes(2, "big") + text.encode())


def close_echo(payload: bytes) -> bytes:
    """The answer to a client's close frame: its own code (RFC 6455, section 5.5.1), or none if it gave none.

    Raises:
        RemoteProtocolError: the close frame itself is malformed.
    """
    if payload:
        if len(payload) == 1:
            raise RemoteProtocolError("close frame with half a code", PROTOCOL_ERROR)
        code = int.from_bytes(payload[:2], "big")
        if not _may_be_sent(code):
            raise RemoteProtocolError(f"close frame with the reserved code {code}", PROTOCOL_ERROR)
        _check_utf8(payload[2:], "close reason")
    return frame(CLOSE, payload[:2])


def _may_be_sent(code: int) -> bool:
    """Whether a code may appear in a close frame: RFC 6455, section 7.4, and the IANA registry it founds."""
    return code in {1000, 1001, 1002, 1003} or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _check_utf8(data: bytes, what: str) -> None:
    # RFC 6455, section 8.1: on invalid UTF-8 an endpoint must fail the connection.
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise RemoteProtocolError(f"{what} is not UTF-8 at byte {error.start}", INVALID_DATA) from None


class FrameReader:
    """Turns a client's bytes into messages and control frames, in order, however they are split.

    Args:
        size_max: bytes of one message, all fragments together.
    """

    __slots__ = ("_buffer", "_fragments", "_opcode", "_size_max")

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._buffer = bytearray()
        # The message being put together and its type, while its last fragment has not come.
        self._fragments: bytearray | None = None
        self._opcode = CONTINUATION

    def feed(self, data: bytes) -> int:
        """Take what was received; returns how many bytes it was, so that b"" ends a reading loop."""
        self._buffer += data
        return len(data)

    def next(self) -> tuple[int, bytes] | None:
        """The next message (TEXT or BINARY, complete) or control frame; None: more bytes are needed.

        Raises:
            RemoteProtocolError: the client broke the framing, with close code 1002, 1007 or 1009; the
                reader must not be used again.
        """
        buffer = self._buffer
        while len(buffer) >= 2:
            first, second = buffer[0], buffer[1]
            self._check_header(first, second)
            size = second & 0x7F
            start = 2
            if size >= 126:
                start = 4 if size == 126 else 10
                if len(buffer) < start:
                    return None
                size = int.from_bytes(buffer[2:start], "big")
            opcode = first & 0x0F
            if opcode < CLOSE:
                # Judged by its header: a payload over the limit is never collected.
                self._check_size(size)
            end = start + 4 + size
            if len(buffer) < end:
                return None
            payload = apply_mask(buffer[start + 4 : end], buffer[start : start + 4])
            del buffer[:end]
            if opcode >= CLOSE:
                return opcode, payload
            message = self._assemble(first, payload)
            if message is not None:
                return message
        return None

    def _check_header(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        # Section 5.2: a nonzero reserved bit without an extension that defines it fails the connection,
        # and so does an unknown opcode.
        if first & _RESERVED:
            raise RemoteProtocolError("frame with a reserved bit", PROTOCOL_ERROR)
        if opcode not in _OPCODES:
            raise RemoteProtocolError(f"frame with the unknown opcode {opcode}", PROTOCOL_ERROR)
        # Section 5.1: "a server MUST close the connection upon receiving a frame that is not masked".
        if not second & _MASKED:
            raise RemoteProtocolError("frame without a mask", PROTOCOL_ERROR)
        if opcode >= CLOSE:
            # Section 5.5: control frames are short and "MUST NOT be fragmented".
            if second & 0x7F > _CONTROL_BYTES_MAX:
                raise RemoteProtocolError("control frame longer than 125 bytes", PROTOCOL_ERROR)
            if not first & _FIN:
                raise RemoteProtocolError("fragmented control frame", PROTOCOL_ERROR)
        # Section 5.4: fragments of different messages are not interleaved.
        elif (opcode == CONTINUATION) is (self._fragments is None):
            raise RemoteProtocolError("message and continuation frames out of order", PROTOCOL_ERROR)

    def _check_size(self, size: int) -> None:
        # Section 5.2: of a 64-bit length, "the most significant bit MUST be 0".
        if size >> 63:
            raise RemoteProtocolError("frame length with its top bit set", PROTOCOL_ERROR)
        if self._fragments is not None:
            size += len(self._fragments)
        if size > self._size_max:
            raise RemoteProtocolError(f"message longer than {self._size_max} bytes", MESSAGE_TOO_BIG)

    def _assemble(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        """Add a data frame to its message; returns the message if this frame was its last."""
        opcode = first & 0x0F
        if self._fragments is None:
            if not first & _FIN:
                self._opcode = opcode
                self._fragments = bytearray(payload)
                return None
        else:
            self._fragments += payload
            if not first & _FIN:
                return None
            opcode, payload = self._opcode, bytes(self._fragments)
            self._fragments = None
        if opcode == TEXT:
            _check_utf8(payload, "text message")
        return opcode, payload
