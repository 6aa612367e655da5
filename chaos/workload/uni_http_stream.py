"""/connection/uni_http_stream: the connect request is POSTed, pushes come as lines of the answer."""

import msgspec

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.http import BadAnswer, request
from chaos.workload.streamed import StreamedAnswer
from chaos.workload.uni_pushes import connect_request, take_push


class UniHttpStreamDialog:
    """One connection; see Dialog.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    def __init__(self, opening: Opening, listener: Listener) -> None:
        self._listener = listener
        self._wanted = opening.wanted
        self._host = opening.host
        self._received = b""
        self._answer = StreamedAnswer()

    def opening(self) -> bytes:
        """See Dialog."""
        fields = {"Content-Type": "application/json"}
        body = connect_request(self._wanted)
        return request("POST", "/connection/uni_http_stream", self._host, fields, body)

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:  # noqa: ARG002 - see Dialog
        """See Dialog: there is no way to ask."""
        return None

    def receive(self, data: bytes) -> bytes:
        """See Dialog."""
        try:
            *lines, self._received = (self._received + self._answer.feed(data)).split(b"\n")
            for line in lines:
                if line:
                    take_push(line, self._wanted, self._listener)
        except (BadAnswer, ValueError, msgspec.MsgspecError) as error:
            raise Over(0, f"not understood: {error}") from error
        return b""
