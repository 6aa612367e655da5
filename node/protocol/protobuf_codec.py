"""The client protocol in Protobuf: every message preceded by its length as an unsigned varint.

Structs and generated classes share field names (protos/client.proto is the contract); `protobuf_structs`
makes one of the other.
"""

from google.protobuf.message import DecodeError

from node.protocol.codec import COMMANDS_PER_FRAME_MAX
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import Command, ConnectRequest, Push, Reply
from node.protocol.protobuf_structs import fill, learn, struct_from
from protos import client_pb2

# A varint of 64 bits; protobuf itself accepts no more.
_VARINT_BYTES_MAX = 10

_parse_command = client_pb2.Command.FromString
_parse_connect_request = client_pb2.ConnectRequest.FromString

for _struct in (Command, Reply):
    learn(_struct)


class ProtobufCodec:
    """See `codec.Codec`. Messages in a frame follow one another; an empty message is a single zero byte."""

    name = "protobuf"

    def decode_commands(self, frame: bytes) -> list[Command]:
        """See Codec. A length that goes beyond the frame cannot be decoded."""
        if not frame:
            raise RemoteProtocolError("the frame is empty")
        commands = []
        position, end = 0, len(frame)
        while position < end:
            length, start = _read_varint(frame, position)
            position = start + length
            if position > end:
                raise RemoteProtocolError(f"a message of {length} bytes goes beyond the frame (byte {start})")
            commands.append(command_from(frame[start:position]))
            if len(commands) > COMMANDS_PER_FRAME_MAX:
                raise RemoteProtocolError("the frame holds too many commands")
        return commands

    def encode_reply(self, reply: Reply) -> bytes:
        """See Codec. The message is length-prefixed."""
        return _length_prefixed(reply_bytes(reply))

    def encode_push(self, push: Push) -> bytes:
        """See Codec. The message is length-prefixed."""
        return _length_prefixed(push_bytes(push))


PROTOBUF_CODEC = ProtobufCodec()


def command_from(message: bytes) -> Command:
    """One command, without a length.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        command: Command = struct_from(Command, _parse_command(message))
    except DecodeError:
        raise RemoteProtocolError("a message is not a Protobuf Command") from None
    return command


def connect_request_from(message: bytes) -> ConnectRequest:
    """The request of a unidirectional client, without a length.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        request: ConnectRequest = struct_from(ConnectRequest, _parse_connect_request(message))
    except DecodeError:
        raise RemoteProtocolError("the message is not a Protobuf ConnectRequest") from None
    return request


def reply_bytes(reply: Reply) -> bytes:
    """One reply, without a length."""
    message = client_pb2.Reply()
    fill(message, reply)
    return message.SerializeToString()


def push_bytes(push: Push) -> bytes:
    """One push, without a length; b"" is a ping."""
    message = client_pb2.Push()
    fill(message, push)
    return message.SerializeToString()


def _read_varint(frame: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and where it ends."""
    value = 0
    for index, byte in enumerate(frame[position : position + _VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise RemoteProtocolError(f"the length at byte {position} does not end")


def _length_prefixed(encoded: bytes) -> bytes:
    length = len(encoded)
    prefix = bytearray()
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + encoded
