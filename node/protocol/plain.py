"""The plain form of the client protocol, for people without an SDK: JSON messages with a `type`.

    client   {"type":"subscribe","channel":"news"}
    server   {"type":"subscribed","channel":"news","epoch":"..","offset":7}
    server   {"type":"publication","channel":"news","data":{"text":"hello"},"offset":8}

`PlainDialog` turns such texts into commands and replies into texts, so that a session does not know
which of the two forms its client speaks. What a person can fix is answered with a text that says how.
"""

from typing import Any, NamedTuple

from msgspec import UNSET, DecodeError, Raw
from msgspec.json import Decoder

from node.protocol import plain_messages as wire
from node.protocol.json_codec import embeddable_publication, encode
from node.protocol.json_text import fault_of
from node.protocol.messages import (
    NO_DATA,
    Command,
    ConnectRequest,
    ConnectResult,
    HistoryRequest,
    HistoryResult,
    Publication,
    PublishRequest,
    Push,
    Reply,
    StreamPosition,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribeRequest,
)
from node.protocol.reasons import BAD_REQUEST, DisconnectReason

_NULL = Raw(b"null")
_MESSAGE: Decoder[wire.Inbound] = Decoder(wire.Inbound)
_HEAD = Decoder(wire.Head)


class PlainText(NamedTuple):
    """One message for a client.

    Attributes:
        type: the message's type, also the name of the event in an event stream.
        data: the message, JSON on one line.
        channel: the channel whose position the message changes, "" if it changes none.
        position: where the client stands in that channel once it has the message. A publication does not
            say the epoch (""): the one of the channel's `subscribed` goes on, and where that had none
            there is no position to keep.
    """

    type: str
    data: bytes
    channel: str = ""
    position: StreamPosition | None = None


def plain_publication(channel: str, publication: Publication) -> bytes:
    """A publication for clients of the plain form; the same bytes for all of them.

    Raises:
        UnencodablePayload: the payload is not JSON.
    """
    fit = embeddable_publication(publication)
    data = _NULL if fit.data is NO_DATA else fit.data
    return encode(wire.Publication(channel, data, fit.offset, fit.tags, fit.info))


class _Asked(NamedTuple):
    """What a reply does not repeat."""

    channel: str = ""
    id: int | str | None = None


_NOTHING_ASKED = _Asked()


class PlainAnswer(NamedTuple):
    """What a client is answered without the session.

    Attributes:
        text: for the client: a pong, or an error that says what to change.
        fault: what was wrong, for the log, without any of the values; "" for nothing.
    """

    text: bytes
    fault: str = ""


class PlainDialog:
    """One client's side of the plain form: it gives commands their ids and knows what a reply answers."""

    __slots__ = ("_asked", "_last_id")

    def __init__(self) -> None:
        self._last_id = 0
        self._asked: dict[int, _Asked] = {}

    def connect(self, request: ConnectRequest) -> Command:
        """The command that has to come first; the plain form has no message for it."""
        return Command(self._next_id(_NOTHING_ASKED), connect=request)

    def receive(self, text: bytes) -> Command | PlainAnswer:
        """What a client wrote: a command for the session, or else the answer for the client.

        Args:
            text: one message.
        """
        fault = fault_of(text)
        if fault:
            return PlainAnswer(encode(wire.Error(BAD_REQUEST.code, f"the message {fault}")), fault)
        try:
            message = _MESSAGE.decode(text)
        except DecodeError as error:
            return _complaint(text, error)
        if isinstance(message, wire.Ping):
            return PlainAnswer(encode(wire.Pong(message.id)))
        command_id = self._next_id(_Asked(message.channel, message.id))
        match message:
            case wire.Subscribe():
                return Command(command_id, subscribe=_subscribe_request(message))
            case wire.Unsubscribe():
                return Command(command_id, unsubscribe=UnsubscribeRequest(message.channel))
            case wire.Publish():
                data = NO_DATA if message.data == _NULL else message.data
                return Command(command_id, publish=PublishRequest(message.channel, data))
            case wire.History():
                history = HistoryRequest(message.channel, message.limit, message.since, message.reverse)
                return Command(command_id, history=history)

    def texts(self, reply: Reply) -> list[PlainText]:
        """What a client reads of a reply or push, in order; nothing for a ping.

        Missed publications follow the message that says they were recovered.

        Raises:
            UnencodablePayload: a payload is not JSON.
        """
        if reply.push is not None:
            return _push_texts(reply.push)
        asked = self._asked.pop(reply.id, _NOTHING_ASKED)
        if reply.error is not None:
            error = wire.Error(reply.error.code, reply.error.message, asked.channel, asked.id)
            return [PlainText("error", encode(error))]
        if reply.connect is not None:
            return _connected_texts(reply.connect)
        if reply.subscribe is not None:
            return _subscribed_texts(asked, reply.subscribe)
        if reply.unsubscribe is not None:
            return [_unsubscribed_text(asked, 0, "unsubscribed by client")]
        if reply.publish is not None:
            return [PlainText("published", encode(wire.Published(asked.channel, asked.id)))]
        if reply.history is not None:
            return [_history_text(asked, reply.history)]
        return []

    def _next_id(self, asked: _Asked) -> int:
        self._last_id += 1
        self._asked[self._last_id] = asked
        return self._last_id


def _subscribe_request(message: wire.Subscribe) -> SubscribeRequest:
    """Always with a wish for a position, since the plain form has no other way to ask for one."""
    position = message.recover or StreamPosition()
    return SubscribeRequest(
        channel=message.channel,
        token=message.token,
        recover=message.recover is not None,
        epoch=position.epoch,
        offset=position.offset,
        positioned=True,
        recoverable=True,
    )


def _push_texts(push: Push) -> list[PlainText]:
    if push.pub is not None:
        return [_publication_text(push.channel, push.pub)]
    if push.unsubscribe is not None:
        return [_unsubscribed_text(_Asked(push.channel), push.unsubscribe.code, push.unsubscribe.reason)]
    if push.connect is not None:
        return _connected_texts(push.connect)
    if push.disconnect is not None:
        code, reason = push.disconnect.code, push.disconnect.reason
        goodbye = wire.Disconnect(code, reason, DisconnectReason(code, reason).reconnect)
        return [PlainText("disconnect", encode(goodbye))]
    return []


def _connected_texts(result: ConnectResult) -> list[PlainText]:
    texts = [PlainText("connected", encode(wire.Connected(result.client)))]
    for channel, subscription in result.subs.items():
        texts += _subscribed_texts(_Asked(channel), subscription)
    return texts


def _subscribed_texts(asked: _Asked, result: SubscribeResult) -> list[PlainText]:
    position = StreamPosition(result.offset, result.epoch) if result.epoch else None
    subscribed = wire.Subscribed(
        asked.channel,
        result.epoch,
        UNSET if position is None else position.offset,
        result.recovered if result.was_recovering else UNSET,
        asked.id,
    )
    text = PlainText("subscribed", encode(subscribed), asked.channel if position else "", position)
    return [text, *(_publication_text(asked.channel, publication) for publication in result.publications)]


def _publication_text(channel: str, publication: Publication) -> PlainText:
    data = plain_publication(channel, publication)
    if not publication.offset:
        return PlainText("publication", data)
    return PlainText("publication", data, channel, StreamPosition(publication.offset))


def _unsubscribed_text(asked: _Asked, code: int, reason: str) -> PlainText:
    return PlainText("unsubscribed", encode(wire.Unsubscribed(asked.channel, code, reason, asked.id)))


def _history_text(asked: _Asked, result: HistoryResult) -> PlainText:
    publications = [embeddable_publication(publication) for publication in result.publications]
    page = wire.HistoryPage(asked.channel, result.epoch, result.offset, publications, asked.id)
    return PlainText("history", encode(page))


def _complaint(text: bytes, error: DecodeError) -> PlainAnswer:
    """What is wrong with a message, and what to write instead."""
    try:
        head = _HEAD.decode(text)
    except DecodeError:
        message = 'a message is one JSON object, such as {"type":"subscribe","channel":"news"}'
        return PlainAnswer(encode(wire.Error(BAD_REQUEST.code, message)), "is not a JSON object")
    message = fault = str(error)
    if head.type not in wire.TYPES:
        named = f"unknown type {head.type[:40]!r}" if isinstance(head.type, str) else "no type"
        message = f"{named}: use one of {', '.join(wire.TYPES)}"
        fault = "has no type, or an unknown one"
    channel = head.channel[:255] if isinstance(head.channel, str) else ""
    answer = wire.Error(BAD_REQUEST.code, message, channel, _echoed(head.id))
    return PlainAnswer(encode(answer), fault)


def _echoed(value: Any) -> int | str | None:
    """A client's id, if it is one that could be a message's."""
    if isinstance(value, str):
        return value[:255]
    return value if isinstance(value, int) and abs(value) <= 2**53 else None
