"""The bytes that the load generator sends, and the marks by which it knows what came. Pure.

Every publication's data is exactly as long as asked for and holds its time: MARK, then DIGITS digits of a
monotonic clock in nanoseconds. A delivery is counted by its mark, whatever frame or event is around it.
"""

import json
from dataclasses import dataclass
from urllib.parse import quote

MARK = b'"t~":"'
DIGITS = 19
# Where the mark may be cut off by the end of what was read: that much is looked at again.
CARRY = len(MARK) + DIGITS - 1
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_MASK = b"\x1f\x2e\x3d\x4c"
# How a publication's data begins, and what comes after its time.
_BEFORE, _AFTER = b"{" + MARK, b'","p":"'
# The shortest data there can be.
SIZE_MIN = len(_BEFORE) + DIGITS + len(_AFTER) + 2
OK = b"HTTP/1.1 200"


@dataclass(frozen=True, slots=True)
class Target:
    """One server as the load generator reaches it.

    Attributes:
        name: of the server.
        port: on the loopback.
        publish_port: where the server API is, if not on the same port.
        channel: what is subscribed to and published to.
        sse_path: with the connect request in it.
        api_key: of the server API.
        subscribe: more fields of a subscribe request (a position to recover from).
    """

    name: str
    port: int
    channel: str
    sse_path: str
    api_key: str = ""
    websocket_path: str = "/connection/websocket"
    subscribe: str = ""
    publish_port: int = 0


def data_of(size: int) -> tuple[bytes, bytes]:
    """A publication's data of `size` bytes, in two parts: between them are the digits of its time."""
    if size < SIZE_MIN:
        raise ValueError(f"a payload has {SIZE_MIN} bytes at least")
    return _BEFORE, _AFTER + b"x" * (size - SIZE_MIN) + b'"}'


def times_in(received: bytes) -> list[int]:
    """The times of all publications in some bytes, nanoseconds."""
    found = []
    at = received.find(MARK)
    while at >= 0:
        at += len(MARK)
        found.append(int(received[at : at + DIGITS]))
        at = received.find(MARK, at)
    return found


def is_whole(answer: bytes) -> bool:
    """Whether a response of the server API is complete: some servers send its head by itself."""
    head, found, body = answer.partition(b"\r\n\r\n")
    _, named, after = head.lower().partition(b"\r\ncontent-length:")
    length = int(after.split(b"\r\n")[0]) if named else 0
    return bool(found) and len(body) >= length


def upgrade(target: Target) -> bytes:
    """The request that becomes a WebSocket: RFC 6455, section 4.1."""
    return (
        f"GET {target.websocket_path} HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n\r\n"
    ).encode()


def text_frame(message: str) -> bytes:
    """A masked text frame: RFC 6455, sections 5.2 and 5.3."""
    payload = message.encode()
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    masked = bytes(byte ^ _MASK[at & 3] for at, byte in enumerate(payload))
    return b"\x81" + length + _MASK + masked


def connect_frame() -> bytes:
    """The first command of a WebSocket client."""
    return text_frame('{"id":1,"connect":{"name":"js"}}')


def subscribe_frame(target: Target) -> bytes:
    """The second command."""
    return text_frame(f'{{"id":2,"subscribe":{{"channel":"{target.channel}"{target.subscribe}}}}}')


def event_stream(path: str, port: int) -> bytes:
    """The request of an SSE client."""
    return (f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n").encode()


def with_query(path: str, **parameters: object) -> str:
    """A path with parameters; what is not text is written as JSON."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in parameters.items()}
    return path + "?" + "&".join(f"{key}={quote(text)}" for key, text in texts.items())


def publish_request(target: Target, size: int) -> tuple[bytes, bytes]:
    """A call of the server API, in two parts: between them are the digits of the publication's time."""
    before, after = data_of(size)
    start = f'{{"channel":"{target.channel}","data":'.encode() + before
    end = after + b"}"
    key = f"X-API-Key: {target.api_key}\r\n" if target.api_key else ""
    head = (
        f"POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n{key}"
        f"Content-Type: application/json\r\nContent-Length: {len(start) + DIGITS + len(end)}\r\n\r\n"
    )
    return head.encode() + start, end
