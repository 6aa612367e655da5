"""HTTP/2 as far as one call of a gRPC client needs it: one request, and its answer as it comes. Sans-I/O.

A library for every client would cost several times what this does. The window is as large as it can be, so
that only the connection itself holds a server back; whoever reads slowly is felt through TCP alone.
"""

import struct

from hpack import Decoder, Encoder, HPACKError

from chaos.workload.http import BadAnswer

# RFC 9113, sections 3.4, 6 and 6.5.2.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
_WINDOW_UPDATE, _CONTINUATION = 0x8, 0x9
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 0x2, 0x4
_WINDOW_BYTES = 2**31 - 1
_WINDOW_BYTES_FIRST = 65_535
_HEAD_BYTES = 9
_STREAM = 1


class Http2Call:
    """One request on a connection of its own.

    Attributes:
        fields: of the answer's head, then also of its trailers.
        ended: whether the answer is complete.
    """

    __slots__ = ("_block", "_decoder", "_ends", "_rest", "ended", "fields")

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.ended = False
        self._decoder = Decoder()
        self._block = b""
        self._ends = False
        self._rest = b""

    def request(self, path: str, host: str, fields: dict[str, str], body: bytes) -> bytes:
        """What opens the connection: preface, settings, and all of the request."""
        settings = struct.pack("!HIHI", _ENABLE_PUSH, 0, _INITIAL_WINDOW_SIZE, _WINDOW_BYTES)
        window = struct.pack("!I", _WINDOW_BYTES - _WINDOW_BYTES_FIRST)
        names = {":method": "POST", ":scheme": "http", ":path": path, ":authority": host, **fields}
        return (
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW_UPDATE, 0, 0, window)
            + _frame(_HEADERS, _END_HEADERS, _STREAM, Encoder().encode(names.items()))
            + _frame(_DATA, _END_STREAM, _STREAM, body)
        )

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what was read; returns what of the body it holds, and what is to be sent.

        Raises:
            BadAnswer: the call was broken off, or this is no HTTP/2.
        """
        data = self._rest + data
        body, answer = [], b""
        at = 0
        while len(data) - at >= _HEAD_BYTES:
            size = int.from_bytes(data[at : at + 3], "big")
            end = at + _HEAD_BYTES + size
            if end > len(data):
                break
            kind, flags, payload = data[at + 3], data[at + 4], data[at + _HEAD_BYTES : end]
            at = end
            if kind == _DATA:
                body.append(_unpadded(flags, payload))
                self.ended = self.ended or bool(flags & _END_STREAM)
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                answer += _frame(kind, _ACK, 0, payload if kind == _PING else b"")
            else:
                self._other(kind, flags, payload)
        self._rest = data[at:]
        return b"".join(body), answer

    def _other(self, kind: int, flags: int, payload: bytes) -> None:
        if kind in (_HEADERS, _CONTINUATION):
            if kind == _HEADERS:
                payload = _unpadded(flags, payload)
                self._block = payload[5:] if flags & _PRIORITY else payload
                self._ends = bool(flags & _END_STREAM)
            else:
                self._block += payload
            if flags & _END_HEADERS:
                self._head()
        elif kind == _RST_STREAM:
            raise BadAnswer(f"the stream was reset, error {int.from_bytes(payload, 'big')}")
        elif kind == _GOAWAY and int.from_bytes(payload[:4], "big") < _STREAM:
            raise BadAnswer(f"the server goes away, error {int.from_bytes(payload[4:8], 'big')}")

    def _head(self) -> None:
        try:
            self.fields.update((str(name), str(value)) for name, value in self._decoder.decode(self._block))
        except HPACKError as error:
            raise BadAnswer(f"fields that cannot be read: {error}") from error
        self.ended = self.ended or self._ends


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
