"""HTTP/1.1 as far as a client of the nodes needs it: requests it writes, and answers it reads. Sans-I/O."""

from typing import NamedTuple

_HEAD_BYTES_MAX = 16_384


class BadAnswer(Exception):
    """The peer did not speak HTTP, or a part of it that these clients do not know."""


class Answer(NamedTuple):
    """The head of an answer.

    Attributes:
        status: its number.
        fields: by lower-case name.
        length: where its body begins in the bytes that were read.
    """

    status: int
    fields: dict[str, str]
    length: int


def request(method: str, target: str, host: str, fields: dict[str, str], body: bytes = b"") -> bytes:
    """A request with its body; RFC 9112, section 3."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer_head(received: bytes | bytearray) -> Answer | None:
    """The head of an answer, None until all of it is there.

    Raises:
        BadAnswer: it is none.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > _HEAD_BYTES_MAX:
            raise BadAnswer("the head of an answer does not end")
        return None
    first, *lines = bytes(received[:end]).decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise BadAnswer(f"not an HTTP/1.1 answer: {first[:40]!r}")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return Answer(int(rest[:3]), fields, end + 4)


class Body:
    """Takes a body of unknown length out of its transfer coding: none, or chunks (RFC 9112, section 7.1).

    Args:
        answer: the head before it.

    Raises:
        BadAnswer: a coding that is not known here.
    """

    __slots__ = ("_chunked", "_left", "_received", "ended")

    def __init__(self, answer: Answer) -> None:
        coding = answer.fields.get("transfer-encoding", "").lower()
        if coding not in ("", "chunked"):
            raise BadAnswer(f"transfer coding {coding!r}")
        self._chunked = coding == "chunked"
        self._received = b""
        self._left = 0
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """What of the body these bytes hold."""
        if not self._chunked:
            return data
        self._received += data
        parts = []
        while self._received and not self.ended:
            if self._left > 2:
                part = self._received[: self._left - 2]
                parts.append(part)
                self._left -= len(part)
                self._received = self._received[len(part) :]
            elif self._left:  # the line end after a chunk
                past = min(self._left, len(self._received))
                self._left -= past
                self._received = self._received[past:]
            else:
                line, found, rest = self._received.partition(b"\r\n")
                if not found:
                    break
                size = int(line.split(b";")[0], 16)
                self.ended = size == 0
                self._left = size + 2
                self._received = rest
        return b"".join(parts)
