"""The client protocol in JSON: one object per line, payloads embedded as they are.

Whatever one client publishes is embedded in other clients' text frames. So payloads are checked both
ways (`json_text`): one that is not a single JSON value in valid UTF-8 could end the object around it, or
break the receiver's frame.
"""

from typing import TypeVar

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder, Encoder
from msgspec.structs import replace

from node.protocol.codec import COMMANDS_PER_FRAME_MAX
from node.protocol.errors import RemoteProtocolError, UnencodablePayload
from node.protocol.json_text import fault_of, is_embeddable
from node.protocol.messages import (
    NO_DATA,
    ClientInfo,
    Command,
    ConnectRequest,
    ConnectResult,
    HistoryResult,
    Message,
    Publication,
    Push,
    Reply,
    SubscribeResult,
)

_COMMAND = Decoder(Command)
_CONNECT_REQUEST = Decoder(ConnectRequest)
_ENCODER = Encoder()
_NULL = Raw(b"null")

_M = TypeVar("_M", bound=Message)


class JsonCodec:
    """See `codec.Codec`. Messages in a frame are joined by a newline; one at the end is allowed."""

    name = "json"

    def decode_commands(self, frame: bytes) -> list[Command]:
        """See Codec. Unknown fields are ignored; null stands for an absent request or payload."""
        if frame.count(b"\n") > COMMANDS_PER_FRAME_MAX:
            raise RemoteProtocolError("the frame holds too many commands")
        commands = [_decode(_COMMAND, line) for line in frame.removesuffix(b"\n").split(b"\n")]
        # Rare, and cheap to rule out for the whole frame.
        return [_null_is_absent(command) for command in commands] if b"null" in frame else commands

    def encode_reply(self, reply: Reply) -> bytes:
        """See Codec."""
        return encode(_embeddable_reply(reply))

    def encode_push(self, push: Push) -> bytes:
        """See Codec."""
        return encode(_embeddable_push(push))


JSON_CODEC = JsonCodec()


def decode_connect_request(body: bytes) -> ConnectRequest:
    """What a client of a unidirectional transport asks for; an empty body asks for nothing.

    Args:
        body: a request's body, its `cf_connect` parameter, or a first message.

    Raises:
        RemoteProtocolError: it is not a connect request.
    """
    if not body.strip():
        return ConnectRequest()
    return _null_data_is_absent(_decode(_CONNECT_REQUEST, body))


def _decode(decoder: Decoder[_M], line: bytes) -> _M:
    fault = fault_of(line)
    if fault:
        raise RemoteProtocolError(f"a message {fault}")
    try:
        return decoder.decode(line)
    except DecodeError as error:
        # msgspec names fields, types and positions, never values of the fields used here.
        raise RemoteProtocolError(f"a message cannot be read: {error}") from None


def _null_data_is_absent(request: _M) -> _M:
    """The request with NO_DATA where its payload, or that of a subscription it names, is null."""
    changes: dict[str, object] = {}
    if getattr(request, "data", NO_DATA) == _NULL:
        changes["data"] = NO_DATA
    if isinstance(request, ConnectRequest) and request.subs:
        changes["subs"] = {channel: _null_data_is_absent(sub) for channel, sub in request.subs.items()}
    return replace(request, **changes) if changes else request


def _null_is_absent(command: Command) -> Command:
    present = {name: getattr(command, name) for name in ("connect", "subscribe", "publish", "rpc", "send")}
    return replace(
        command,
        **{name: _null_data_is_absent(request) for name, request in present.items() if request is not None},
    )


def encode(message: Struct) -> bytes:
    """One JSON object on one line, from a struct whose payloads are embeddable."""
    encoded = _ENCODER.encode(message)
    # Only payloads can bring line ends in, and only as whitespace between tokens. A newline would end the
    # message, and a carriage return would end a line of an event stream.
    if b"\n" in encoded or b"\r" in encoded:
        encoded = encoded.translate(None, b"\r\n")
    return encoded


def _embeddable_payload(payload: Raw) -> Raw:
    """The payload, checked; NO_DATA for an empty one, because msgspec leaves out only that very object."""
    if payload is NO_DATA:
        return payload
    encoded = bytes(payload)
    if not encoded:
        return NO_DATA
    if not is_embeddable(encoded):
        raise UnencodablePayload("the payload is not JSON: publish JSON, or let its readers use Protobuf")
    return payload


def _embeddable_info(info: ClientInfo | None) -> ClientInfo | None:
    if info is None or (info.conn_info is NO_DATA and info.chan_info is NO_DATA):
        return info
    conn_info, chan_info = _embeddable_payload(info.conn_info), _embeddable_payload(info.chan_info)
    return replace(info, conn_info=conn_info, chan_info=chan_info)


def embeddable_publication(publication: Publication) -> Publication:
    """The publication as `encode` needs it.

    Raises:
        UnencodablePayload: its payload, or what it says of its publisher, is not JSON.
    """
    data, info = _embeddable_payload(publication.data), _embeddable_info(publication.info)
    if data is publication.data and info is publication.info:
        return publication
    return replace(publication, data=data, info=info)


def _embeddable_subscription(result: SubscribeResult) -> SubscribeResult:
    if result.data is NO_DATA and not result.publications:
        return result
    publications = tuple(map(embeddable_publication, result.publications))
    return replace(result, data=_embeddable_payload(result.data), publications=publications)


def _embeddable_connect(result: ConnectResult) -> ConnectResult:
    if result.data is NO_DATA and not result.subs:
        return result
    subs = {channel: _embeddable_subscription(sub) for channel, sub in result.subs.items()}
    return replace(result, data=_embeddable_payload(result.data), subs=subs)


def _embeddable_history(result: HistoryResult) -> HistoryResult:
    return replace(result, publications=tuple(map(embeddable_publication, result.publications)))


def _embeddable_push(push: Push) -> Push:
    if push.pub is not None:
        publication = embeddable_publication(push.pub)
        return push if publication is push.pub else replace(push, pub=publication)
    if push.connect is not None:
        return replace(push, connect=_embeddable_connect(push.connect))
    return push


def _embeddable_reply(reply: Reply) -> Reply:
    if reply.push is not None:
        push = _embeddable_push(reply.push)
        return reply if push is reply.push else replace(reply, push=push)
    if reply.subscribe is not None:
        subscription = _embeddable_subscription(reply.subscribe)
        return reply if subscription is reply.subscribe else replace(reply, subscribe=subscription)
    if reply.connect is not None:
        connection = _embeddable_connect(reply.connect)
        return reply if connection is reply.connect else replace(reply, connect=connection)
    if reply.history is not None:
        return replace(reply, history=_embeddable_history(reply.history))
    return reply
