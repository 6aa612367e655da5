"""The client protocol as one subscriber speaks it in JSON: what to send, what was received. No I/O."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from node.protocol.messages import ConnectResult, Publication, Reply, StreamPosition, SubscribeResult
from node.protocol.reasons import DisconnectReason

PONG = "{}"
_CONNECT, _SUBSCRIBE = 1, 2
# An unsubscribe push from this code on asks the client to subscribe again (protocol reference, 5.2).
_RESUBSCRIBE_FROM = 2500


@dataclass(frozen=True, slots=True)
class Connected:
    """The session stands; `ping_s` is how often the server pings, 0 for never."""

    ping_s: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The channel was joined.

    Attributes:
        recovering: it was asked to go on from a position.
        recovered: everything since that position follows.
        missed: how many publications that is.
    """

    recovering: bool
    recovered: bool
    missed: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with PONG."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The server ended the subscription or refused it.

    Attributes:
        code: of the protocol.
        reason: its words.
        again: whether to come back.
    """

    code: int
    reason: str
    again: bool


Event = Connected | Subscribed | Ping | Ended | Publication


class Subscription:
    """One channel over any number of connections.

    Args:
        channel: its name.
        token: a connection token, "" for none.
        since: the position to go on from, None to begin with what comes.

    Attributes:
        position: up to where everything was received; None while that is not known.
    """

    def __init__(self, channel: str, token: str = "", since: StreamPosition | None = None) -> None:
        self.channel = channel
        self.position = since
        self._token = token
        self._replies = msgspec.json.Decoder(Reply)

    def first_frame(self) -> str:
        """What opens a new connection: connect and subscribe, from the position if there is one."""
        connect: dict[str, Any] = {"name": "broadcast"} | ({"token": self._token} if self._token else {})
        subscribe: dict[str, Any] = {"channel": self.channel, "recoverable": True}
        if self.position:
            subscribe |= {"recover": True, "epoch": self.position.epoch, "offset": self.position.offset}
        commands = ({"id": _CONNECT, "connect": connect}, {"id": _SUBSCRIBE, "subscribe": subscribe})
        return "\n".join(json.dumps(command) for command in commands)

    def receive(self, frame: str | bytes) -> list[Event]:
        """What a frame says, in order.

        Raises:
            ValueError: it is not of this protocol.
        """
        events: list[Event] = []
        # Not `splitlines`: a text in JSON may contain what Unicode calls the end of a line.
        for line in frame.split("\n") if isinstance(frame, str) else frame.split(b"\n"):
            if line:
                events += self._reply(self._replies.decode(line))
        return events

    def _reply(self, reply: Reply) -> list[Event]:
        if reply.error:
            again = reply.error.temporary
            return [Ended(reply.error.code, reply.error.message, again)]
        if reply.connect:
            return [_connected(reply.connect)]
        if reply.subscribe:
            return self._subscribed(reply.subscribe)
        push = reply.push
        if push is None:
            return [] if reply.id else [Ping()]
        if push.channel == self.channel and push.pub:
            return [self._published(push.pub)]
        if push.channel == self.channel and push.unsubscribe:
            code = push.unsubscribe.code
            return [Ended(code, push.unsubscribe.reason, again=code >= _RESUBSCRIBE_FROM)]
        return []

    def _subscribed(self, result: SubscribeResult) -> list[Event]:
        if result.recoverable:
            known = self.position if result.recovered else None
            self.position = known or StreamPosition(offset=result.offset, epoch=result.epoch)
        missed = result.publications
        subscribed = Subscribed(result.was_recovering, result.recovered, len(missed))
        return [subscribed, *(self._published(publication) for publication in missed)]

    def _published(self, publication: Publication) -> Publication:
        if self.position and publication.offset:
            self.position = StreamPosition(offset=publication.offset, epoch=self.position.epoch)
        return publication


def closed(code: int, reason: str) -> Ended:
    """What the end of a connection means for the subscription; its codes say whether to come back."""
    return Ended(code, reason or "connection closed", DisconnectReason(code, reason).reconnect)


def _connected(result: ConnectResult) -> Connected:
    return Connected(ping_s=result.ping)
