"""Requests that carry commands, read in both encodings."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from node.protocol.emulation import EmulationRequest, decode_emulation
from node.protocol.errors import RemoteProtocolError
from protos import client_pb2


@given(session=st.text(), node=st.text(), data=st.text())
def test_both_encodings_say_the_same(session: str, node: str, data: str) -> None:
    """In JSON the frame is a string, in Protobuf bytes."""
    wanted = EmulationRequest(session, node, data.encode())
    message = client_pb2.EmulationRequest(session=session, node=node, data=data.encode())
    text = json.encode({"session": session, "node": node, "data": data, "more": [1]})
    assert decode_emulation(text, protobuf=False) == wanted
    assert decode_emulation(message.SerializeToString(), protobuf=True) == wanted


@given(body=st.binary(), protobuf=st.booleans())
def test_nothing_else_is_ever_raised(body: bytes, protobuf: bool) -> None:
    """Whatever comes is a request, or refused as none."""
    with suppress(RemoteProtocolError):
        decode_emulation(body, protobuf=protobuf)


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"data":null}', b'{"data":{}}', b'{"x":' + b"[" * 50_000])
def test_json_that_is_no_request(body: bytes) -> None:
    """Also what nests without end, in a field that nobody reads."""
    with pytest.raises(RemoteProtocolError, match="not an emulation request in JSON"):
        decode_emulation(body, protobuf=False)
