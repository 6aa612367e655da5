"""/connection/uni_websocket: the connect request is the first message, pushes come as messages."""

from chaos.history import Position
from chaos.workload.uni_pushes import connect_request, take_push
from chaos.workload.websocket_dialog import WebSocketDialog
from chaos.workload.websocket_frames import TEXT, Message, frame


class UniWebSocketDialog(WebSocketDialog):
    """One connection; see WebSocketDialog."""

    path = "/connection/uni_websocket"

    def first_message(self) -> bytes:
        """See WebSocketDialog."""
        return frame(TEXT, connect_request(self.wanted))

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:  # noqa: ARG002 - see Dialog
        """See Dialog: there is no way to ask."""
        return None

    def take(self, message: Message) -> bytes:
        """See WebSocketDialog."""
        for line in message.data.split(b"\n"):
            if line:
                take_push(line, self.wanted, self.listener)
        return b""
