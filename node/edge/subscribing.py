"""What a `Subscribe` of the edge means to a session, and how that session's answers look as events."""

from collections.abc import Mapping, Sequence

from google.protobuf.message import DecodeError

from node.edge.checks import undecodable
from node.edge.framing import EVENTS, edge_position, event
from node.edge.status import Ending, ending_of
from node.protocol.errors import CommandError
from node.protocol.messages import (
    Command,
    ConnectRequest,
    Reply,
    StreamPosition,
    SubscribeRequest,
    SubscribeResult,
)
from node.protocol.reasons import BAD_REQUEST, INSUFFICIENT_STATE, LIMIT_EXCEEDED, DisconnectReason
from node.session import Parts
from protos import edge_pb2


def channels_of(message: bytes, parts: Parts) -> dict[str, StreamPosition | None]:
    """What a request asks for: channels, and where its client stands in each.

    Raises:
        CommandError: a channel cannot be subscribed, whoever asks.
        RemoteProtocolError: it is no request.
    """
    try:
        asked = edge_pb2.SubscribeRequest.FromString(message).channels
    except DecodeError:
        raise undecodable("SubscribeRequest") from None
    channels: dict[str, StreamPosition | None] = {}
    for one in asked:
        try:
            parts.rules.resolve(one.channel)
        except CommandError as error:
            raise CommandError(error.error, f"{one.channel}: {error.detail}") from None
        at = StreamPosition(one.since.offset, one.since.epoch)
        channels[one.channel] = at if one.HasField("since") else None
    if not channels or len(channels) < len(asked):
        raise CommandError(BAD_REQUEST, "name at least one channel, and each once")
    if len(channels) > parts.config.client.channel_limit:
        raise CommandError(LIMIT_EXCEEDED, "client.channel_limit")
    return channels


class Subscribing:
    """One stream.

    Args:
        channels: as `channels_of` gave them.
    """

    __slots__ = ("_asking", "_channels", "_connected")

    def __init__(self, channels: Mapping[str, StreamPosition | None]) -> None:
        self._channels = channels
        # Those whose answer has not come, the next one first.
        self._asking = list(channels)
        self._connected = False

    def commands(self, token: str) -> Sequence[Command]:
        """What the call stands for: a connect, then a subscribe per channel."""
        subscribes = [
            Command(id=number, subscribe=_subscribe_request(channel, since))
            for number, (channel, since) in enumerate(self._channels.items(), 2)
        ]
        return [Command(id=1, connect=ConnectRequest(token=token)), *subscribes]

    def encode(self, reply: Reply) -> tuple[bytes, ...]:
        """A reply or push as messages with events."""
        if reply.subscribe is None:
            self._connected = self._connected or reply.push is not None
            return ()
        return self._subscribed(self._asking.pop(0), reply.subscribe)

    def goodbye(self, reason: DisconnectReason) -> bytes | None:
        """What comes last in the stream, None for nothing: that something may be missing is an event too."""
        return event(edge_pb2.Event(gap=edge_pb2.Gap())) if reason is INSUFFICIENT_STATE else None

    def ending(self, reason: DisconnectReason) -> Ending:
        """How the stream ends; a refusal names its channel."""
        refused = self._connected and self._asking and not reason.reconnect
        return ending_of(reason, self._asking[0] if refused else "")

    def _subscribed(self, channel: str, result: SubscribeResult) -> tuple[bytes, ...]:
        since = self._channels[channel]
        position = edge_position(StreamPosition(result.offset, result.epoch))
        subscribed = edge_pb2.Subscribed(channel=channel, position=position, recovered=result.recovered)
        messages = [event(edge_pb2.Event(subscribed=subscribed))]
        if since is not None and not result.recovered:
            gap = edge_pb2.Gap(channel=channel, since=edge_position(since), position=position)
            messages.append(event(edge_pb2.Event(gap=gap)))
        # Each a message: a client's library limits how long one may be.
        messages += [EVENTS.publication(channel, publication) for publication in result.publications]
        return tuple(messages)


def _subscribe_request(channel: str, since: StreamPosition | None) -> SubscribeRequest:
    at = since or StreamPosition()
    return SubscribeRequest(
        channel=channel,
        recover=since is not None,
        epoch=at.epoch,
        offset=at.offset,
        positioned=True,
        recoverable=True,
    )
