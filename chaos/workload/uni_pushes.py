"""The client protocol from server to client only: one connect request, then pushes. Sans-I/O."""

from collections.abc import Mapping

import msgspec

from chaos.history import Position
from chaos.workload.dialog import Listener, Over, Publication, SubscribeResult, tell


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


def connect_request(wanted: Mapping[str, Position | None]) -> bytes:
    """A connect request that names channels and positions."""
    subs: dict[str, dict[str, object]] = {}
    for channel, since in wanted.items():
        subs[channel] = {}
        if since is not None:
            subs[channel] = {"recover": True, "epoch": since.epoch, "offset": since.offset}
    return msgspec.json.encode({"name": "chaos", "subs": subs})


def take_push(
    text: bytes, wanted: Mapping[str, Position | None], listener: Listener, retry_s: float | None = None
) -> None:
    """Tell a listener of one push.

    Args:
        text: the push.
        wanted: what the connect request named.
        listener: the client.
        retry_s: how long the node asked to wait before coming back.

    Raises:
        Over: the node says that the session ends.
        msgspec.MsgspecError: it is no push.
    """
    push = _decode(text)
    if push.pub is not None:
        listener.delivered(push.channel, push.pub.data.id, push.pub.offset)
    elif push.connect is not None:
        _connected(push.connect, wanted, listener)
    elif push.unsubscribe is not None:
        listener.unsubscribed(push.channel, push.unsubscribe.code)
    elif push.disconnect is not None:
        raise Over(push.disconnect.code, push.disconnect.reason, retry_s)


def _connected(connect: _Connect, wanted: Mapping[str, Position | None], listener: Listener) -> None:
    listener.welcomed()
    for channel, since in wanted.items():
        result = connect.subs.get(channel)
        if result is None:
            listener.refused(channel, 0, "the connect push does not name it")
        else:
            tell(listener, channel, result, asked=since is not None)
