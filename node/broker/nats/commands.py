"""The NATS commands a client sends, and the header blocks they carry, as bytes. Pure; knows no connection.

Source: the client protocol reference of docs.nats.io (2.11), ADR-4 of nats-architecture-and-design (headers).
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

PING = b"PING\r\n"
PONG = b"PONG\r\n"

# Printable ASCII without the colon (ADR-4, after RFC 822 section 3.1.2).
_HEADER_NAME = re.compile(r"[!-9;-~]+")


def connect(options: Mapping[str, object]) -> bytes:
    """CONNECT, with the members the caller gives it."""
    return b"CONNECT %b\r\n" % msgspec.json.encode(options)


def sub(subject: str, sid: bytes) -> bytes:
    """SUB without a queue group; ValueError for a subject that is empty or has white space."""
    return b"SUB %b %b\r\n" % (_token(subject), sid)


def unsub(sid: bytes) -> bytes:
    """UNSUB, at once."""
    return b"UNSUB %b\r\n" % sid


def pub(subject: str, payload: bytes, reply: str = "") -> bytes:
    """PUB; ValueError for a subject or reply subject that has white space, or an empty subject."""
    target = _token(subject) + b" " + _token(reply) if reply else _token(subject)
    return b"PUB %b %d\r\n%b\r\n" % (target, len(payload), payload)


def hpub(subject: str, headers: bytes, payload: bytes, reply: str = "") -> bytes:
    """HPUB; like `pub`, with a header block made by `encode_headers`."""
    target = _token(subject) + b" " + _token(reply) if reply else _token(subject)
    size = len(headers)
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (target, size, size + len(payload), headers, payload)


def encode_headers(fields: Iterable[tuple[str, str]]) -> bytes:
    """A header block (ADR-4) for `hpub`.

    Raises:
        ValueError: a name is empty or has other than printable ASCII or a colon, a value has a line end.
    """
    lines = [b"NATS/1.0"]
    for name, value in fields:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"not a header name: {name!r}")
        if "\r" in value or "\n" in value:
            raise ValueError(f"line end in the value of header {name}")
        lines.append(f"{name}: {value}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _token(subject: str) -> bytes:
    # White space would end the word, or the line: whatever follows would be a command of its own.
    encoded = subject.encode()
    if encoded.split() != [encoded]:
        raise ValueError(f"not a subject: {subject!r}")
    return encoded
