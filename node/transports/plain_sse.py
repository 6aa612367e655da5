"""`/sse?channel=...`: event streams for people without an SDK, with positions as event ids.

A browser's EventSource sends the id of the last event it saw when it comes back, so every id says where
the client stands in all its channels. Clients of one channel stand at the same place and share the bytes
of its publications; a client of several channels has ids of its own, made by a framing of its own.
"""

import socket
from collections.abc import Sequence
from weakref import WeakValueDictionary

from msgspec import json

from node.protocol import plain_messages as wire
from node.protocol.event_stream import SSE_PING, encode_positions, sse_event
from node.protocol.messages import Command, ConnectRequest, Publication, Reply, StreamPosition
from node.protocol.plain import PlainDialog, PlainText, plain_publication
from node.protocol.reasons import DisconnectReason
from node.session import Parts
from node.transports.sse_transport import SseTransport


class PlainSseFraming:
    """Publications as message events without an id; see hub.Framing."""

    __slots__ = ()

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return sse_event(
            plain_publication(channel, publication), event_id=self.id_at(channel, publication.offset)
        )

    def join(self, frames: Sequence[bytes]) -> bytes:
        """See hub.Framing."""
        return b"".join(frames)

    def id_at(self, channel: str, offset: int) -> str:  # noqa: ARG002 - for the framings below
        """The event id of a publication, "" for none."""
        return ""


class ChannelSseFraming(PlainSseFraming):
    """For clients of one channel that keeps positions: all of them share this object and its bytes.

    Args:
        epoch: of the channel's positions.
    """

    __slots__ = ("__weakref__", "_epoch")

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch

    def id_at(self, channel: str, offset: int) -> str:
        """See PlainSseFraming."""
        return encode_positions({channel: StreamPosition(offset, self._epoch)}) if offset else ""


class ClientSseFraming(PlainSseFraming):
    """For one client of several channels.

    Args:
        positions: where the client stands, by channel; moved by every event that is made.
    """

    __slots__ = ("_positions",)

    def __init__(self, positions: dict[str, StreamPosition]) -> None:
        self._positions = positions

    def id_at(self, channel: str, offset: int) -> str:
        """See PlainSseFraming."""
        at = self._positions.get(channel)
        if not offset or at is None:
            return ""
        self._positions[channel] = StreamPosition(offset, at.epoch)
        return encode_positions(self._positions)


PLAIN_SSE = PlainSseFraming()
# One framing per epoch, for as long as a client uses it.
_BY_EPOCH: WeakValueDictionary[str, ChannelSseFraming] = WeakValueDictionary()


def _framing_of(epoch: str) -> PlainSseFraming:
    framing = _BY_EPOCH.get(epoch)
    if framing is None:
        framing = _BY_EPOCH[epoch] = ChannelSseFraming(epoch)
    return framing


class PlainSseTransport(SseTransport):
    """One client of `/sse`.

    Args:
        sock: the client's, non-blocking.
        parts: the node's.
        channels: what it asks for, each once.
        since: where it stands in those it has seen before.
    """

    __slots__ = ("_channels", "_dialog", "_positions", "_since", "_started")
    name = "sse"
    native_ping = True

    def __init__(
        self, sock: socket.socket, parts: Parts, channels: list[str], since: dict[str, StreamPosition]
    ) -> None:
        self._channels = channels
        self._dialog = PlainDialog()
        self._since = since
        # A channel that is subscribed last keeps its old position in the ids until then.
        self._positions = dict(since)
        self._started = False
        framing = PLAIN_SSE if len(channels) == 1 else ClientSseFraming(self._positions)
        super().__init__(sock, parts, framing)

    def commands(self, token: str) -> list[Command]:
        """What the request stands for: a connect, then a subscribe per channel."""
        subscribes = [
            self._dialog.receive(json.encode(wire.Subscribe(channel, recover=self._since.get(channel))))
            for channel in self._channels
        ]
        connect = self._dialog.connect(ConnectRequest(token=token))
        return [connect, *(command for command in subscribes if isinstance(command, Command))]

    def start(self, head: bytes) -> None:
        """See SseTransport."""
        self._started = True
        super().start(head)

    def encode(self, reply: Reply) -> bytes:
        """See SseTransport."""
        return b"".join([self._event(text) for text in self._dialog.texts(reply)])

    def ping(self) -> None:
        """See Transport."""
        self.outbox.write(SSE_PING)

    def close(self, reason: DisconnectReason) -> None:
        """See SseTransport; before the stream has begun the reason becomes its HTTP status."""
        if self._started:
            super().close(reason)
        else:
            self.refused = reason

    def _event(self, text: PlainText) -> bytes:
        event_id = ""
        if text.position is not None:
            event_id = self._move(text.channel, text.position)
        # A publication is what EventSource calls a message, so that `onmessage` gets it.
        return sse_event(text.data, "" if text.type == "publication" else text.type, event_id)

    def _move(self, channel: str, position: StreamPosition) -> str:
        """The client will stand there; returns the id that says so."""
        if position.epoch:
            self._subscribed(channel, position)
        elif channel in self._positions:
            self._positions[channel] = StreamPosition(position.offset, self._positions[channel].epoch)
        return encode_positions(self._positions)

    def _subscribed(self, channel: str, position: StreamPosition) -> None:
        self._positions[channel] = position
        subscription = self.session.subscriptions.get(channel)
        if len(self._channels) == 1 and subscription is not None:
            # Its epoch is known only now. The hub looks at framings at the next publication, which cannot
            # come before the subscribe reply has been written.
            subscription.framing = _framing_of(position.epoch)
