"""gRPC-Web on the wire: messages and trailers in a body, plain or in base64.

Source: PROTOCOL-WEB and PROTOCOL-HTTP2 of gRPC's documentation: each part is a byte of flags, the length in
four bytes, and the content; the last part holds the trailers as header lines. A text body is the base64 of
that, whose padding may stand wherever a piece ends.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from urllib.parse import quote

from node.edge.framing import EVENTS
from node.edge.status import Ending
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import Publication

BINARY_TYPE = "application/grpc-web+proto"
TEXT_TYPE = "application/grpc-web-text+proto"
_TYPES = {
    "application/grpc-web": BINARY_TYPE,
    BINARY_TYPE: BINARY_TYPE,
    "application/grpc-web-text": TEXT_TYPE,
    TEXT_TYPE: TEXT_TYPE,
}
_HEAD_BYTES = 5
_DATA, _TRAILERS = 0x00, 0x80


class GrpcWebFraming:
    """Messages and trailers for clients of one kind; see hub.Framing.

    Args:
        content_type: of bodies, in both directions.
        wrap: makes a part a piece of the body.
        unwrap: makes a request's body its parts; raises binascii.Error.
    """

    __slots__ = ("_unwrap", "_wrap", "content_type", "ping")

    def __init__(
        self, content_type: str, wrap: Callable[[bytes], bytes], unwrap: Callable[[bytes], bytes]
    ) -> None:
        self.content_type = content_type
        self._wrap = wrap
        self._unwrap = unwrap
        self.ping = self.message(EVENTS.ping)

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return self.message(EVENTS.publication(channel, publication))

    def join(self, frames: Sequence[bytes]) -> bytes:
        """See hub.Framing."""
        return b"".join(frames)

    def message(self, message: bytes) -> bytes:
        """One message of the contract's."""
        return self._wrap(_part(_DATA, message))

    def trailers(self, ending: Ending | None) -> bytes:
        """The end of a call, None for a good one."""
        lines = [("grpc-status", str(int(ending.code) if ending else 0))]
        if ending is not None:
            lines += [("grpc-message", quote(ending.details, safe=" ")), *ending.trailing_metadata]
        return self._wrap(_part(_TRAILERS, "".join(f"{k}: {v}\r\n" for k, v in lines).encode()))

    def request(self, body: bytes) -> bytes:
        """The one message of a request.

        Raises:
            RemoteProtocolError: the body holds something else.
        """
        try:
            parts = self._unwrap(body)
        except binascii.Error:
            raise RemoteProtocolError("the body is not base64") from None
        length = int.from_bytes(parts[1:_HEAD_BYTES], "big")
        # A compressed message has the flag 1; nothing here said that it would be understood.
        if len(parts) < _HEAD_BYTES or parts[0] != _DATA or len(parts) != _HEAD_BYTES + length:
            raise RemoteProtocolError("the body is not one message that is not compressed")
        return parts[_HEAD_BYTES:]


def framing_of(content_type: str) -> GrpcWebFraming | None:
    """The framing that a request's type asks for, None for what is no gRPC-Web.

    Args:
        content_type: the header's value.
    """
    return _FRAMINGS.get(_TYPES.get(content_type.partition(";")[0].strip().lower(), ""))


def _part(flags: int, content: bytes) -> bytes:
    return bytes((flags,)) + len(content).to_bytes(4, "big") + content


def _from_text(body: bytes) -> bytes:
    return b64decode(body, validate=True)


_FRAMINGS = {
    BINARY_TYPE: GrpcWebFraming(BINARY_TYPE, bytes, bytes),
    TEXT_TYPE: GrpcWebFraming(TEXT_TYPE, b64encode, _from_text),
}
