import ast
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from centrifuge.protocol import client_pb2 as sdk
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from protos import catalog_pb2, client_pb2, coordinator_pb2, edge_pb2, server_api_pb2, unistream_pb2

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    "catalog": catalog_pb2,
    "client": client_pb2,
    "coordinator": coordinator_pb2,
    "edge": edge_pb2,
    "server_api": server_api_pb2,
    "unistream": unistream_pb2,
}


def _without_json_names(file: FileDescriptorProto) -> FileDescriptorProto:
    """The compiler writes the JSON names it derives into a descriptor set, and not into generated code."""

    def clear(messages: Any) -> None:
        for message in messages:
            clear(message.nested_type)
            for field in message.field:
                field.ClearField("json_name")

    clear(file.message_type)
    return file


@pytest.mark.parametrize("contract", CONTRACTS)
def test_committed_code_is_what_the_generator_makes(contract: str, tmp_path: Path) -> None:
    """The committed module describes exactly the messages of its contract file."""
    output = tmp_path / "set"
    status = protoc.main(
        ["protoc", f"-I{ROOT}", f"--descriptor_set_out={output}", f"protos/{contract}.proto"]
    )
    assert status == 0
    (generated,) = FileDescriptorSet.FromString(output.read_bytes()).file
    committed = FileDescriptorProto()
    CONTRACTS[contract].DESCRIPTOR.CopyToProto(committed)
    assert _without_json_names(committed) == _without_json_names(generated)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_committed_types_name_every_message_and_field(contract: str) -> None:
    """The committed stub, which the type checker reads, knows the messages and fields of the module."""
    stub = ast.parse((ROOT / "protos" / f"{contract}_pb2.pyi").read_text())
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    messages = CONTRACTS[contract].DESCRIPTOR.message_types_by_name
    assert set(classes) == set(messages)
    for name, message in messages.items():
        declared = {
            node.target.id
            for node in classes[name].body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        assert set(message.fields_by_name) <= declared


def _kind(field: Any) -> tuple[Any, ...]:
    """Number, type and shape of a field, with the name of its message but not the package."""
    message = field.message_type
    entry = message is not None and message.GetOptions().map_entry
    inner = tuple(_kind(part) for part in message.fields) if entry else message and message.name
    return field.number, field.type, field.is_repeated, inner


@pytest.mark.parametrize("name", sdk.DESCRIPTOR.message_types_by_name)
def test_the_sdk_has_the_same_numbers_and_types(name: str) -> None:
    """Every field the Python SDK was compiled with is in the contract, with its number and type."""
    theirs = sdk.DESCRIPTOR.message_types_by_name[name].fields_by_name
    ours = client_pb2.DESCRIPTOR.message_types_by_name[name].fields_by_name
    assert {field: _kind(theirs[field]) for field in theirs} == {
        field: _kind(ours[field]) for field in theirs
    }


def test_the_contract_is_whole() -> None:
    """All of the protocol's messages and fields are there, served or not."""
    messages = client_pb2.DESCRIPTOR.message_types_by_name
    assert len(messages) == 43
    assert sum(len(message.fields) for message in messages.values()) == 193
    assert client_pb2.DESCRIPTOR.package == "broadcast.client.v1"


@pytest.mark.parametrize("name", unistream_pb2.DESCRIPTOR.message_types_by_name)
def test_a_unidirectional_push_is_one_of_the_client_protocol(name: str) -> None:
    """What that service's messages have, the client protocol's have with the same number and type."""
    ours = unistream_pb2.DESCRIPTOR.message_types_by_name[name].fields_by_name
    whole = client_pb2.DESCRIPTOR.message_types_by_name[name].fields_by_name
    assert {field: _kind(ours[field]) for field in ours} == {field: _kind(whole[field]) for field in ours}


def test_a_batch_names_its_commands_and_replies_alike() -> None:
    """A reply of a batch has the number of its command, and there is one for every other method."""
    commands = server_api_pb2.Command.DESCRIPTOR.fields_by_name
    replies = server_api_pb2.Reply.DESCRIPTOR.fields_by_name
    assert {name: field.number for name, field in commands.items()} == {
        name: field.number for name, field in replies.items() if name != "error"
    }
    methods = server_api_pb2.DESCRIPTOR.services_by_name["CentrifugoApi"].methods_by_name
    assert len(methods) == len(commands) + 1


@pytest.mark.parametrize("contract", ["client", "edge", "server_api", "unistream"])
def test_every_field_is_documented(contract: str) -> None:
    """No message and no field of a public contract stands without a comment above it."""
    lines = (ROOT / "protos" / f"{contract}.proto").read_text().splitlines()
    bare = []
    for above, line in pairwise(lines):
        declares = line.startswith("message ") or (
            line.startswith("  ") and " = " in line and line.endswith(";")
        )
        if declares and not above.lstrip().startswith("//"):
            bare.append(line)
    assert bare == []
