"""/ws, the plain form over WebSocket: one JSON message per frame, each with its type."""

import msgspec

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Payload
from chaos.workload.websocket_dialog import WebSocketDialog
from chaos.workload.websocket_frames import TEXT, Message, frame

_encode = msgspec.json.encode


class PlainMessage(msgspec.Struct):
    """Any message of the plain form; what a type does not have stays at its default."""

    type: str
    channel: str = ""
    data: Payload | None = None
    offset: int = 0
    epoch: str = ""
    recovered: bool | None = None
    code: int = 0
    message: str = ""
    reason: str = ""


decode = msgspec.json.Decoder(PlainMessage).decode


class PlainWebSocketDialog(WebSocketDialog):
    """One connection.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    path = "/ws"

    def __init__(self, opening: Opening, listener: Listener) -> None:
        super().__init__(opening, listener)

    def first_message(self) -> bytes:
        """See WebSocketDialog."""
        return b"".join([_command(channel, since) for channel, since in self.wanted.items()])

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:
        """See Dialog."""
        return _command(channel, since)

    def take(self, message: Message) -> bytes:
        """See WebSocketDialog."""
        plain = decode(message.data)
        match plain.type:
            case "publication" if plain.data is not None:
                self.listener.delivered(plain.channel, plain.data.id, plain.offset)
            case "connected":
                self.listener.welcomed()
            case "subscribed":
                self.listener.subscribed(plain.channel, plain.epoch, plain.offset, plain.recovered)
            case "unsubscribed":
                self.listener.unsubscribed(plain.channel, plain.code)
            case "error":
                self.listener.refused(plain.channel, plain.code, plain.message)
        return b""


def _command(channel: str, since: Position | None) -> bytes:
    command: dict[str, object] = {"type": "subscribe", "channel": channel}
    if since is not None:
        command["recover"] = {"epoch": since.epoch, "offset": since.offset}
    return frame(TEXT, _encode(command))
