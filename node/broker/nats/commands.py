"""The NATS commands a client sends, as bytes. Pure; knows no connection.

Source: the client protocol reference of docs.nats.io (2.11).
"""

from collections.abc import Mapping

import msgspec

PING = b"PING\r\n"
PONG = b"PONG\r\n"


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
    """HPUB; like `pub`, with a header block: `NATS/1.0`, lines, an empty one."""
    target = _token(subject) + b" " + _token(reply) if reply else _token(subject)
    size = len(headers)
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (target, size, size + len(payload), headers, payload)


def _token(subject: str) -> bytes:
    # White space would end the word, or the line: whatever follows would be a command of its own.
    encoded = subject.encode()
    if encoded.split() != [encoded]:
        raise ValueError(f"not a subject: {subject!r}")
    return encoded
