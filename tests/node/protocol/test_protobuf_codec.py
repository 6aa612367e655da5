import base64
from contextlib import suppress
from typing import Any

import pytest
from centrifuge.codecs import _ProtobufCodec
from centrifuge.protocol import client_pb2 as sdk
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from node.protocol.codec import COMMANDS_PER_FRAME_MAX
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import (
    NO_DATA,
    PING,
    Command,
    HistoryRequest,
    HistoryResult,
    Publication,
    PublishRequest,
    PublishResult,
    Push,
    Reply,
    StreamPosition,
    SubscribeRequest,
)
from node.protocol.protobuf_codec import PROTOBUF_CODEC
from node.protocol.reasons import DISCONNECT_BAD_REQUEST
from protos import client_pb2
from tests.node.protocol import strategies


def _for_sdk(value: Any) -> Any:
    """A struct's fields as the SDK gives them to its generated classes: payloads in base64, no zeros."""
    if isinstance(value, Raw):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return {name: _for_sdk(field) for name, field in fields.items() if field}
    if isinstance(value, dict):
        return {key: _for_sdk(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_for_sdk(item) for item in value]
    return value


def _sdk_dict(message: Any) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True)


def _sdk_message(kind: Any, struct: Struct) -> Any:
    """The message the SDK's classes make of a struct's fields."""
    return ParseDict(_for_sdk(struct), kind())


@given(st.lists(strategies.commands, min_size=1, max_size=3))
def test_commands_of_the_sdk_come_out_as_they_went_in(commands: list[Command]) -> None:
    """Every command of a frame that the Python SDK's codec made is decoded, in order."""
    frame = _ProtobufCodec.encode_commands([_for_sdk(command) for command in commands])
    assert PROTOBUF_CODEC.decode_commands(frame) == commands


@given(st.lists(strategies.replies, min_size=1, max_size=3))
def test_the_sdk_reads_replies_as_they_went_in(replies: list[Reply]) -> None:
    """The Python SDK's codec reads every reply of a frame as its own classes would have written it."""
    frame = b"".join([PROTOBUF_CODEC.encode_reply(reply) for reply in replies])
    expected = [_sdk_dict(_sdk_message(sdk.Reply, reply)) for reply in replies]
    assert _ProtobufCodec.decode_replies(frame) == expected


@given(strategies.pushes)
def test_a_bare_push_says_the_same(push: Push) -> None:
    """A push for a unidirectional transport is one length-prefixed Push."""
    encoded = PROTOBUF_CODEC.encode_push(push)
    message = sdk.Push.FromString(encoded[_prefix_bytes(encoded) :])
    assert _sdk_dict(message) == _sdk_dict(_sdk_message(sdk.Push, push))


def _prefix_bytes(encoded: bytes) -> int:
    return next(index for index, byte in enumerate(encoded, 1) if byte < 0x80)


@given(st.binary(max_size=40))
@example(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x00\x05\x2a")
def test_garbage_raises_nothing_else(frame: bytes) -> None:
    """Whatever the bytes are, they are commands or RemoteProtocolError."""
    with suppress(RemoteProtocolError):
        assert PROTOBUF_CODEC.decode_commands(frame)


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (b"", "empty"),
        (b"\x00\x80", "does not end"),
        (b"\x80" * 11, "does not end"),
        (b"\x00\x03\x08\x01", "beyond the frame"),
        (b"\x02\x08\x80", "not a Protobuf Command"),
        # A channel name that is not UTF-8.
        (b"\x05\x2a\x03\x0a\x01\xff", "not a Protobuf Command"),
    ],
)
def test_errors_say_what_is_wrong(frame: bytes, named: str) -> None:
    """Bytes that are no frame raise RemoteProtocolError: a detail for the log, a reason for the close."""
    with pytest.raises(RemoteProtocolError, match=named) as caught:
        PROTOBUF_CODEC.decode_commands(frame)
    assert caught.value.reason is DISCONNECT_BAD_REQUEST


@given(strategies.commands, st.data())
def test_a_cut_frame_is_refused(command: Command, draw: st.DataObject) -> None:
    """A frame without its end is never taken for a whole one."""
    frame = _ProtobufCodec.encode_commands([_for_sdk(command)])
    cut = draw.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(RemoteProtocolError):
        PROTOBUF_CODEC.decode_commands(frame[:cut])


@given(strategies.binary)
def test_payloads_are_opaque(payload: Raw) -> None:
    """A payload that is no JSON travels unchanged both ways, and an empty one is absent."""
    frame = _ProtobufCodec.encode_commands([_for_sdk(Command(1, publish=PublishRequest("x", payload)))])
    (command,) = PROTOBUF_CODEC.decode_commands(frame)
    assert command.publish is not None
    assert command.publish.data == payload
    if not bytes(payload):
        assert command.publish.data is NO_DATA
    encoded = PROTOBUF_CODEC.encode_reply(Reply(push=Push("x", Publication(payload))))
    assert sdk.Reply.FromString(encoded[_prefix_bytes(encoded) :]).push.pub.data == bytes(payload)


def test_a_subscription_type_is_not_overlooked() -> None:
    """A field that the Python SDK does not have is decoded too, so that what is not served can be refused."""
    message = client_pb2.Command(id=1, subscribe=client_pb2.SubscribeRequest(channel="x", type=4))
    encoded = message.SerializeToString()
    (command,) = PROTOBUF_CODEC.decode_commands(bytes([len(encoded)]) + encoded)
    assert command == Command(1, subscribe=SubscribeRequest("x", type=4))


def test_an_empty_position_is_a_position() -> None:
    """`since` without content is there, as in JSON: it asks for everything from the start."""
    (command,) = PROTOBUF_CODEC.decode_commands(b"\x06\x08\x01\x52\x02\x42\x00")
    assert command == Command(1, history=HistoryRequest(since=StreamPosition()))


def test_an_empty_message_is_a_zero_byte() -> None:
    """Ping and pong are one byte each, and may stand among other messages."""
    assert PROTOBUF_CODEC.encode_reply(PING) == PROTOBUF_CODEC.encode_push(Push()) == b"\x00"
    assert PROTOBUF_CODEC.decode_commands(b"\x00\x02\x08\x07\x00") == [Command(), Command(7), Command()]


def test_a_result_without_content_is_there() -> None:
    """SDKs index the result, so an empty one is present."""
    encoded = PROTOBUF_CODEC.encode_reply(Reply(3, publish=PublishResult()))
    assert sdk.Reply.FromString(encoded[1:]).HasField("publish")
    encoded = PROTOBUF_CODEC.encode_reply(Reply(3, history=HistoryResult()))
    assert sdk.Reply.FromString(encoded[1:]).HasField("history")


def test_fields_without_a_struct_are_ignored() -> None:
    """What the contract knows and the server does not serve, and what only the client knows, is skipped."""
    command = sdk.Command(id=2, subscribe=sdk.SubscribeRequest(channel="x", tf=sdk.FilterNode(key="a")))
    message = command.SerializeToString() + b"\xfa\x7f\x01z"
    (decoded,) = PROTOBUF_CODEC.decode_commands(bytes([len(message)]) + message)
    assert decoded.id == 2
    assert decoded.subscribe is not None
    assert decoded.subscribe.channel == "x"


def test_a_long_message_has_a_long_prefix() -> None:
    """The length is a varint of as many bytes as it takes."""
    for size in (100, 127, 128, 20_000, 3_000_000):
        encoded = PROTOBUF_CODEC.encode_reply(Reply(push=Push("x", Publication(Raw(b"x" * size)))))
        (reply,) = _ProtobufCodec.decode_replies(encoded)
        assert len(base64.b64decode(reply["push"]["pub"]["data"])) == size


def test_a_frame_of_pongs_is_cut_short() -> None:
    """A frame may hold many commands, but not so many that decoding them delays other clients."""
    assert len(PROTOBUF_CODEC.decode_commands(b"\0" * COMMANDS_PER_FRAME_MAX)) == COMMANDS_PER_FRAME_MAX
    with pytest.raises(RemoteProtocolError, match="too many"):
        PROTOBUF_CODEC.decode_commands(b"\0" * 60_000)
