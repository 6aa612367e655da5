"""WebSocket as a client needs it: the handshake, its own frames, and messages cut out of what it reads.

Sans-I/O, and no more of RFC 6455 than a node that behaves uses; what it must not do is an error. A reader
for every client of a library costs ten times what this does.
"""

import base64
import hashlib
import struct
from typing import NamedTuple

from chaos.workload.http import Answer, BadAnswer, request

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_CONTINUATION = 0x0
_FINAL = 0x80
_MASKED = 0x80
_KEY = base64.b64encode(b"a chaos workload").decode()
# RFC 6455, section 1.3: what a server adds to the key before it hashes it.
_ACCEPT = base64.b64encode(
    hashlib.sha1(f"{_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
).decode()
_STATUS_SWITCHED = 101


class Message(NamedTuple):
    """A message or control frame.

    Attributes:
        opcode: TEXT, BINARY, CLOSE, PING or PONG.
        data: its payload, all fragments together.
    """

    opcode: int
    data: bytes


def upgrade(target: str, host: str) -> bytes:
    """The request that becomes a WebSocket (RFC 6455, section 4.1)."""
    fields = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": _KEY,
    }
    return request("GET", target, host, fields)


def check_accepted(answer: Answer) -> None:
    """See that a server became a WebSocket.

    Raises:
        BadAnswer: it switched to something else (RFC 6455, section 4.1).
    """
    if answer.status != _STATUS_SWITCHED or answer.fields.get("sec-websocket-accept") != _ACCEPT:
        raise BadAnswer(f"the upgrade was answered with {answer.status} and a wrong key")


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame; its mask is zero, which is a mask too (RFC 6455, section 5.3)."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", _FINAL | opcode, _MASKED | size)
    elif size < 65_536:
        head = struct.pack("!BBH", _FINAL | opcode, _MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", _FINAL | opcode, _MASKED | 127, size)
    return head + bytes(4) + payload


def close_code(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame (RFC 6455, section 5.5.1)."""
    if len(payload) < 2:
        return 1005, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")


class Messages:
    """Cuts what a server sends into messages."""

    __slots__ = ("_fragments", "_opcode", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._fragments = b""
        self._opcode = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete.

        Raises:
            BadAnswer: a frame that no server may send.
        """
        if self._rest:
            data = self._rest + data
        found: list[Message] = []
        at, end = 0, len(data)
        while end - at >= 2:
            first, size = data[at], data[at + 1]
            begin = at + 2
            if size >= 126:
                if size > 127:
                    raise BadAnswer("a server's frame is masked")
                width = 2 if size == 126 else 8
                if end - begin < width:
                    break
                size = int.from_bytes(data[begin : begin + width], "big")
                begin += width
            if end - begin < size:
                break
            at = begin + size
            self._take(first, data[begin:at], found)
        self._rest = data[at:]
        return found

    def _take(self, first: int, payload: bytes, found: list[Message]) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise BadAnswer("a frame with an extension that nobody asked for")
        if opcode >= CLOSE or (first & _FINAL and opcode != _CONTINUATION and not self._opcode):
            found.append(Message(opcode, payload))
        elif (opcode == _CONTINUATION) != bool(self._opcode):
            raise BadAnswer("a fragment of no message")
        else:
            self._opcode = self._opcode or opcode
            self._fragments += payload
            if first & _FINAL:
                found.append(Message(self._opcode, self._fragments))
                self._opcode, self._fragments = 0, b""
