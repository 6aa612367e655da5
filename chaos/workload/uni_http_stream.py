"""/connection/uni_http_stream: the connect request is POSTed, pushes come as lines of the answer."""

import msgspec

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.http import BadAnswer, Body, answer_head, request
from chaos.workload.uni_pushes import connect_request, take_push

_OK = 200


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
        self._body: Body | None = None

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
            if self._body is None:
                self._received += data
                answer = answer_head(self._received)
                if answer is None:
                    return b""
                if answer.status != _OK:
                    retry = answer.fields.get("retry-after", "")
                    raise Over(0, f"HTTP {answer.status}", float(retry) if retry.isdigit() else None)
                self._body = Body(answer)
                data, self._received = self._received[answer.length :], b""
            *lines, self._received = (self._received + self._body.feed(data)).split(b"\n")
            for line in lines:
                if line:
                    take_push(line, self._wanted, self._listener)
        except (BadAnswer, ValueError, msgspec.MsgspecError) as error:
            raise Over(0, f"not understood: {error}") from error
        return b""
