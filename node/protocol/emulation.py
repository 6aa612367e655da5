"""What `POST /emulation` carries: commands of a session whose own connection goes only to the client.

Not a command of the client protocol: it names the session, and `data` is one frame of commands in the
session's encoding. Source: the protocol reference, section 2.3.
"""

from google.protobuf.message import DecodeError
from msgspec import Struct
from msgspec.json import Decoder

from node.protocol.errors import RemoteProtocolError
from node.protocol.json_text import UNDECODABLE
from protos import client_pb2


class EmulationRequest(Struct, frozen=True):
    """Commands, and whose they are.

    Attributes:
        session: from the connect result; whoever knows it speaks for the client, so it is never logged.
        node: from the connect result: who holds the session.
        data: one frame of commands.
    """

    session: str
    node: str
    data: bytes


class _JsonRequest(Struct, frozen=True):
    session: str = ""
    node: str = ""
    # The frame's text, as a string inside the JSON.
    data: str = ""


_JSON = Decoder(_JsonRequest)


def decode_emulation(body: bytes, *, protobuf: bool) -> EmulationRequest:
    """Read a request's body.

    Args:
        body: all of it.
        protobuf: it is a Protobuf message, otherwise JSON.

    Raises:
        RemoteProtocolError: it is not such a request.
    """
    request: _JsonRequest | client_pb2.EmulationRequest
    if protobuf:
        try:
            request = client_pb2.EmulationRequest.FromString(body)
        except DecodeError:
            raise RemoteProtocolError("the body is not a Protobuf EmulationRequest") from None
        return EmulationRequest(request.session, request.node, request.data)
    try:
        request = _JSON.decode(body)
    except UNDECODABLE:
        # Its text would quote the body in part.
        raise RemoteProtocolError("the body is not an emulation request in JSON") from None
    return EmulationRequest(request.session, request.node, request.data.encode())
