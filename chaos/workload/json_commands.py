"""Commands and replies of the client protocol in JSON, as centrifuge-js writes and reads them. Sans-I/O."""

from collections.abc import Iterable
from typing import Any

import msgspec

from chaos.history import Position
from chaos.workload.commands import CONNECT_ID
from chaos.workload.dialog import Listener, Over, Publication, SubscribeResult, tell

_encode = msgspec.json.encode
_PING = b"{}"


class _Ended(msgspec.Struct):
    code: int
    reason: str


class _Push(msgspec.Struct):
    channel: str = ""
    pub: Publication | None = None
    unsubscribe: _Ended | None = None
    disconnect: _Ended | None = None


class _Error(msgspec.Struct):
    code: int
    message: str


class _Connected(msgspec.Struct):
    session: str = ""
    node: str = ""


class _Reply(msgspec.Struct):
    id: int = 0
    push: _Push | None = None
    error: _Error | None = None
    connect: _Connected | None = None
    subscribe: SubscribeResult | None = None


_decode = msgspec.json.Decoder(_Reply).decode


class JsonCommands:
    """One session; see Commands.

    Args:
        listener: the client.
    """

    pong = b"{}"
    end = b"\n"

    def __init__(self, listener: Listener) -> None:
        self.session = ""
        self.node = ""
        self._listener = listener
        self._asked: dict[int, tuple[str, bool]] = {}
        self._last_id = CONNECT_ID

    def connect(self) -> bytes:
        """See Commands."""
        return _encode({"id": CONNECT_ID, "connect": {"name": "chaos"}})

    def subscribe(self, channel: str, since: Position | None) -> bytes:
        """See Commands."""
        self._last_id += 1
        self._asked[self._last_id] = (channel, since is not None)
        request: dict[str, Any] = {"channel": channel, "positioned": True, "recoverable": True}
        if since is not None:
            request |= {"recover": True, "epoch": since.epoch, "offset": since.offset}
        return _encode({"id": self._last_id, "subscribe": request})

    def together(self, commands: Iterable[bytes]) -> bytes:
        """See Commands."""
        return b"\n".join(commands)

    def replies(self, data: bytes) -> tuple[list[bytes], bytes]:
        """See Commands."""
        *lines, rest = data.split(b"\n")
        return lines, rest

    def take(self, reply: bytes) -> bool:
        """See Commands."""
        if reply == _PING:
            return True
        if reply:
            self._tell(_decode(reply))
        return False

    def _tell(self, reply: _Reply) -> None:
        if (push := reply.push) is not None:
            if push.pub is not None:
                self._listener.delivered(push.channel, push.pub.data.id, push.pub.offset)
            elif push.unsubscribe is not None:
                self._listener.unsubscribed(push.channel, push.unsubscribe.code)
            elif push.disconnect is not None:
                raise Over(push.disconnect.code, push.disconnect.reason)
        elif reply.id == CONNECT_ID:
            if reply.error is not None:
                raise Over(reply.error.code, reply.error.message)
            if reply.connect is not None:
                self.session, self.node = reply.connect.session, reply.connect.node
            self._listener.welcomed()
        elif reply.id in self._asked:
            channel, asked = self._asked.pop(reply.id)
            if reply.error is not None:
                self._listener.refused(channel, reply.error.code, reply.error.message)
            elif reply.subscribe is not None:
                tell(self._listener, channel, reply.subscribe, asked=asked)
