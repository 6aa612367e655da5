import pytest
from msgspec import DecodeError
from msgspec.json import decode, encode

from node.protocol import messages
from node.protocol.messages import NO_DATA, Command, Message, Reply, StreamPosition
from protos import client_pb2

STRUCTS = [kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, Message)]


@pytest.mark.parametrize("struct", [struct for struct in STRUCTS if struct is not Message])
def test_every_struct_is_a_part_of_the_contract(struct: type[Message]) -> None:
    """A struct has the name of a message of the contract, and its fields exist there."""
    contract = client_pb2.DESCRIPTOR.message_types_by_name[struct.__name__]
    assert set(struct.__struct_fields__) <= set(contract.fields_by_name)


def test_a_connect_push_is_a_connect_result() -> None:
    """One struct stands for ConnectResult and Connect, so every field of it exists in both."""
    contract = client_pb2.DESCRIPTOR.message_types_by_name["Connect"]
    assert set(messages.ConnectResult.__struct_fields__) <= set(contract.fields_by_name)


def test_zero_is_absent() -> None:
    """An empty message of either direction is an empty object, and the other way round."""
    assert encode(Command()) == encode(Reply()) == b"{}"
    assert decode(b"{}", type=Command) == Command()
    assert decode(b'{"id":1,"publish":{}}', type=Command).publish.data is NO_DATA


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Command, b'{"id":-1}'),
        (Command, b'{"id":4294967296}'),
        (StreamPosition, b'{"offset":-1}'),
        (StreamPosition, b'{"offset":9223372036854775808}'),
        (messages.HistoryRequest, b'{"limit":2147483648}'),
        (messages.SubscribeRequest, b'{"flag":9223372036854775808}'),
    ],
)
def test_numbers_have_the_ranges_of_the_contract(kind: type[Message], text: bytes) -> None:
    """A number that Protobuf could not carry is refused in JSON too."""
    with pytest.raises(DecodeError):
        decode(text, type=kind)
