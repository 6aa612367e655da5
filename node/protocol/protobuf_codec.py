"""The client protocol in Protobuf: every message preceded by its length as an unsigned varint.

Structs and generated classes share field names (protos/client.proto is the contract), so one table per
struct, made on import from its field types, serves both ways. What the contract has and the structs do
not is ignored when it comes in. Payloads are opaque bytes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Generated
from msgspec import Raw, Struct, inspect, structs

from node.protocol.codec import COMMANDS_PER_FRAME_MAX
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import Command, Push, Reply
from protos import client_pb2

# A varint of 64 bits; protobuf itself accepts no more.
_VARINT_BYTES_MAX = 10

_parse_command = client_pb2.Command.FromString


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
            try:
                command = _parse_command(frame[start:position])
            except DecodeError:
                raise RemoteProtocolError(f"the message at byte {start} is not a Protobuf Command") from None
            commands.append(_struct_from(Command, command))
            if len(commands) > COMMANDS_PER_FRAME_MAX:
                raise RemoteProtocolError("the frame holds too many commands")
        return commands

    def encode_reply(self, reply: Reply) -> bytes:
        """See Codec. The message is length-prefixed."""
        message = client_pb2.Reply()
        _fill(message, reply)
        return _length_prefixed(message)

    def encode_push(self, push: Push) -> bytes:
        """See Codec. The message is length-prefixed."""
        message = client_pb2.Push()
        _fill(message, push)
        return _length_prefixed(message)


PROTOBUF_CODEC = ProtobufCodec()


def _read_varint(frame: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and where it ends."""
    value = 0
    for index, byte in enumerate(frame[position : position + _VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise RemoteProtocolError(f"the length at byte {position} does not end")


def _length_prefixed(message: Generated) -> bytes:
    encoded = message.SerializeToString()
    length = len(encoded)
    prefix = bytearray()
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + encoded


# --- structs from generated messages, and back -----------------------------------------------------

_Reader = Callable[[Any], Any]
_Writer = Callable[[Any, str, Any], None]

# Per struct: how to turn a field's value into the struct's, and how to put it into a generated message.
_READERS: dict[type[Struct], dict[str, _Reader]] = {}
_WRITERS: dict[type[Struct], list[tuple[str, _Writer]]] = {}


def _struct_from(struct: type[Struct], message: Generated) -> Any:
    readers = _READERS[struct]
    # Only fields that are set are listed, so a Command costs what it holds, not what it could hold.
    return struct(
        **{
            descriptor.name: readers[descriptor.name](value)
            for descriptor, value in message.ListFields()
            if descriptor.name in readers
        }
    )


def _struct_map_from(struct: type[Struct], messages: Any) -> dict[str, Any]:
    return {key: _struct_from(struct, message) for key, message in messages.items()}


def _structs_from(struct: type[Struct], messages: Any) -> tuple[Any, ...]:
    return tuple(_struct_from(struct, message) for message in messages)


def _fill(message: Any, struct: Struct) -> None:
    for name, write in _WRITERS[type(struct)]:
        value = getattr(struct, name)
        if value:
            write(message, name, value)


def _write_payload(message: Any, name: str, value: Raw) -> None:
    setattr(message, name, bytes(value))


def _write_struct(message: Any, name: str, value: Struct) -> None:
    part = getattr(message, name)
    # A result without content must still be there.
    part.SetInParent()
    _fill(part, value)


def _write_structs(message: Any, name: str, value: tuple[Struct, ...]) -> None:
    parts = getattr(message, name)
    for struct in value:
        _fill(parts.add(), struct)


def _write_map(message: Any, name: str, value: dict[str, str]) -> None:
    getattr(message, name).update(value)


def _write_struct_map(message: Any, name: str, value: dict[str, Struct]) -> None:
    parts = getattr(message, name)
    for key, struct in value.items():
        _fill(parts[key], struct)


def _reader_and_writer(kind: inspect.Type) -> tuple[_Reader, _Writer]:
    match kind:
        case inspect.UnionType(types=(some, inspect.NoneType())):
            return _reader_and_writer(some)
        case inspect.StructType(cls=struct):
            _learn(struct)
            return partial(_struct_from, struct), _write_struct
        case inspect.VarTupleType(item_type=inspect.StructType(cls=struct)):
            _learn(struct)
            return partial(_structs_from, struct), _write_structs
        case inspect.DictType(value_type=inspect.StructType(cls=struct)):
            _learn(struct)
            return partial(_struct_map_from, struct), _write_struct_map
        case inspect.DictType(value_type=inspect.StrType()):
            return dict, _write_map
        case inspect.RawType():
            return Raw, _write_payload
        case inspect.BoolType():
            return bool, setattr
        case inspect.IntType():
            return int, setattr
        case inspect.StrType():
            return str, setattr
    raise TypeError(f"no Protobuf form for a field of type {kind}")


def _learn(struct: type[Struct]) -> None:
    """Enter a struct, and those inside it, into the two tables."""
    if struct in _READERS:
        return
    readers: dict[str, _Reader] = {}
    writers: list[tuple[str, _Writer]] = []
    _READERS[struct], _WRITERS[struct] = readers, writers
    for field in structs.fields(struct):
        reader, writer = _reader_and_writer(inspect.type_info(field.type))
        readers[field.name] = reader
        writers.append((field.name, writer))


for _struct in (Command, Reply):
    _learn(_struct)
