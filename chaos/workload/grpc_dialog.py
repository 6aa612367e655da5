"""gRPC: `Subscribe` of the edge service over HTTP/2, at a node that serves it."""

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.edge_stream import PATH, EdgeStream, ending
from chaos.workload.http import BadAnswer
from chaos.workload.http2 import Http2Call

_OK = "200"


class GrpcDialog:
    """One connection with one call; see Dialog.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    def __init__(self, opening: Opening, listener: Listener) -> None:
        self._host = opening.host
        self._call = Http2Call()
        self._stream = EdgeStream(opening.wanted, listener)

    def opening(self) -> bytes:
        """See Dialog."""
        fields = {"te": "trailers", "content-type": "application/grpc"}
        return self._call.request(PATH, self._host, fields, self._stream.request())

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:  # noqa: ARG002 - see Dialog
        """See Dialog: there is no way to ask."""
        return None

    def receive(self, data: bytes) -> bytes:
        """See Dialog."""
        try:
            body, answer = self._call.feed(data)
        except BadAnswer as error:
            raise Over(0, str(error)) from error
        status = self._call.fields.get(":status", _OK)
        if status != _OK:
            raise Over(0, f"HTTP {status}")
        self._stream.feed(body)
        if self._call.ended:
            raise ending(self._call.fields)
        return answer
