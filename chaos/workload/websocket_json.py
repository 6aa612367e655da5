"""/connection/websocket in JSON: connect and all subscribes in one frame, as centrifuge-js sends them."""

from typing import Any

import msgspec

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Over, Publication, SubscribeResult, tell
from chaos.workload.websocket_dialog import WebSocketDialog
from chaos.workload.websocket_frames import TEXT, Message, frame

_CONNECT_ID = 1
_encode = msgspec.json.encode
_PONG = frame(TEXT, b"{}")


class _Unsubscribe(msgspec.Struct):
    code: int
    reason: str


class _Push(msgspec.Struct):
    channel: str = ""
    pub: Publication | None = None
    unsubscribe: _Unsubscribe | None = None


class _Error(msgspec.Struct):
    code: int
    message: str


class _Reply(msgspec.Struct):
    id: int = 0
    push: _Push | None = None
    error: _Error | None = None
    connect: Any = None
    subscribe: SubscribeResult | None = None


_decode = msgspec.json.Decoder(_Reply).decode


class JsonDialog(WebSocketDialog):
    """One connection.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    path = "/connection/websocket"

    def __init__(self, opening: Opening, listener: Listener) -> None:
        super().__init__(opening, listener)
        self._asked: dict[int, tuple[str, bool]] = {}
        self._last_id = _CONNECT_ID

    def first_message(self) -> bytes:
        """See WebSocketDialog."""
        commands: list[bytes] = [_encode({"id": _CONNECT_ID, "connect": {"name": "chaos"}})]
        commands += [self._command(channel, since) for channel, since in self.wanted.items()]
        return frame(TEXT, b"\n".join(commands))

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:
        """See Dialog."""
        return frame(TEXT, self._command(channel, since))

    def take(self, message: Message) -> bytes:
        """See WebSocketDialog."""
        answer = b""
        for line in message.data.split(b"\n"):
            if line == b"{}":
                answer += _PONG
            elif line:
                self._reply(_decode(line))
        return answer

    def _reply(self, reply: _Reply) -> None:
        if (push := reply.push) is not None:
            if push.pub is not None:
                self.listener.delivered(push.channel, push.pub.data.id, push.pub.offset)
            elif push.unsubscribe is not None:
                self.listener.unsubscribed(push.channel, push.unsubscribe.code)
        elif reply.id == _CONNECT_ID:
            if reply.error is not None:
                raise Over(reply.error.code, reply.error.message)
            self.listener.welcomed()
        elif reply.id in self._asked:
            channel, asked = self._asked.pop(reply.id)
            if reply.error is not None:
                self.listener.refused(channel, reply.error.code, reply.error.message)
            elif reply.subscribe is not None:
                tell(self.listener, channel, reply.subscribe, asked=asked)

    def _command(self, channel: str, since: Position | None) -> bytes:
        self._last_id += 1
        self._asked[self._last_id] = (channel, since is not None)
        request: dict[str, Any] = {"channel": channel, "positioned": True, "recoverable": True}
        if since is not None:
            request |= {"recover": True, "epoch": since.epoch, "offset": since.offset}
        return _encode({"id": self._last_id, "subscribe": request})
