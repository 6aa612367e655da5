"""gRPC-Web: `Subscribe` of the edge service as a page calls it, over HTTP/1.1; trailers are in the body."""

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.edge_stream import PATH, EdgeStream, ending
from chaos.workload.http import BadAnswer, request
from chaos.workload.streamed import StreamedAnswer


class GrpcWebDialog:
    """One connection; see Dialog.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    def __init__(self, opening: Opening, listener: Listener) -> None:
        self._host = opening.host
        self._answer = StreamedAnswer()
        self._stream = EdgeStream(opening.wanted, listener)

    def opening(self) -> bytes:
        """See Dialog."""
        fields = {"Content-Type": "application/grpc-web+proto"}
        return request("POST", PATH, self._host, fields, self._stream.request())

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:  # noqa: ARG002 - see Dialog
        """See Dialog: there is no way to ask."""
        return None

    def receive(self, data: bytes) -> bytes:
        """See Dialog."""
        try:
            trailers = self._stream.feed(self._answer.feed(data))
        except (BadAnswer, ValueError) as error:
            raise Over(0, f"not understood: {error}") from error
        if trailers is not None:
            raise ending(trailers)
        return b""
