"""/connection/uni_sse: channels and positions travel in the connect request, pushes come as events."""

from urllib.parse import quote

import msgspec

from chaos.workload.dialog import Over, Publication, SubscribeResult, tell
from chaos.workload.event_stream import Event
from chaos.workload.sse_dialog import SseDialog


class _Ended(msgspec.Struct):
    code: int = 0
    reason: str = ""


class _Connect(msgspec.Struct):
    subs: dict[str, SubscribeResult] = msgspec.field(default_factory=dict)


class _Push(msgspec.Struct):
    channel: str = ""
    pub: Publication | None = None
    connect: _Connect | None = None
    unsubscribe: _Ended | None = None
    disconnect: _Ended | None = None


_decode = msgspec.json.Decoder(_Push).decode


class UniSseDialog(SseDialog):
    """One connection; see SseDialog."""

    def target(self) -> str:
        """See SseDialog."""
        subs: dict[str, dict[str, object]] = {}
        for channel, since in self.wanted.items():
            subs[channel] = {}
            if since is not None:
                subs[channel] = {"recover": True, "epoch": since.epoch, "offset": since.offset}
        connect = msgspec.json.encode({"name": "chaos", "subs": subs}).decode()
        return f"/connection/uni_sse?cf_connect={quote(connect)}"

    def take(self, event: Event) -> None:
        """See SseDialog."""
        push = _decode(event.data)
        if push.pub is not None:
            self.listener.delivered(push.channel, push.pub.data.id, push.pub.offset)
        elif push.connect is not None:
            self._connected(push.connect)
        elif push.unsubscribe is not None:
            self.listener.unsubscribed(push.channel, push.unsubscribe.code)
        elif push.disconnect is not None:
            raise Over(push.disconnect.code, push.disconnect.reason, self.retry_s)

    def _connected(self, connect: _Connect) -> None:
        self.listener.welcomed()
        for channel, since in self.wanted.items():
            result = connect.subs.get(channel)
            if result is None:
                self.listener.refused(channel, 0, "the connect push does not name it")
            else:
                tell(self.listener, channel, result, asked=since is not None)
