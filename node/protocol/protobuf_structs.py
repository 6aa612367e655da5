"""Structs from generated Protobuf messages, and back.

Both share field names, so one table per struct, made by `learn` from its field types, serves both ways.
What the message has and the struct does not is ignored. Payloads are opaque bytes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.message import Message as Generated
from msgspec import Raw, Struct, inspect, structs

_Reader = Callable[[Any], Any]
_Writer = Callable[[Any, str, Any], None]

# Per struct: how to turn a field's value into the struct's, and how to put it into a generated message.
_READERS: dict[type[Struct], dict[str, _Reader]] = {}
_WRITERS: dict[type[Struct], list[tuple[str, _Writer]]] = {}


def struct_from(struct: type[Struct], message: Generated) -> Any:
    """A struct with what a message holds.

    Args:
        struct: learnt.
        message: of the contract's message with the same fields.
    """
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
    return {key: struct_from(struct, message) for key, message in messages.items()}


def _structs_from(struct: type[Struct], messages: Any) -> tuple[Any, ...]:
    return tuple(struct_from(struct, message) for message in messages)


def fill(message: Any, struct: Struct) -> None:
    """Put what a struct holds into a message.

    Args:
        message: empty.
        struct: of a type that was learnt.
    """
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
    fill(part, value)


def _write_structs(message: Any, name: str, value: tuple[Struct, ...]) -> None:
    parts = getattr(message, name)
    for struct in value:
        fill(parts.add(), struct)


def _write_texts(message: Any, name: str, value: tuple[str, ...]) -> None:
    getattr(message, name).extend(value)


def _write_map(message: Any, name: str, value: dict[str, str]) -> None:
    getattr(message, name).update(value)


def _write_struct_map(message: Any, name: str, value: dict[str, Struct]) -> None:
    parts = getattr(message, name)
    for key, struct in value.items():
        fill(parts[key], struct)


def _reader_and_writer(kind: inspect.Type) -> tuple[_Reader, _Writer]:
    match kind:
        case inspect.UnionType(types=(some, inspect.NoneType())):
            return _reader_and_writer(some)
        case inspect.StructType(cls=struct):
            learn(struct)
            return partial(struct_from, struct), _write_struct
        case inspect.VarTupleType(item_type=inspect.StructType(cls=struct)):
            learn(struct)
            return partial(_structs_from, struct), _write_structs
        case inspect.VarTupleType(item_type=inspect.StrType()):
            return tuple, _write_texts
        case inspect.DictType(value_type=inspect.StructType(cls=struct)):
            learn(struct)
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


def learn(struct: type[Struct]) -> None:
    """Make the tables of a struct, and of those inside it; again: nothing."""
    if struct in _READERS:
        return
    readers: dict[str, _Reader] = {}
    writers: list[tuple[str, _Writer]] = []
    _READERS[struct], _WRITERS[struct] = readers, writers
    for field in structs.fields(struct):
        reader, writer = _reader_and_writer(inspect.type_info(field.type))
        readers[field.name] = reader
        writers.append((field.name, writer))
