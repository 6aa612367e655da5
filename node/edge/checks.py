"""What every call of the edge is asked first, whatever carries it."""

import time

from node.access.connect import authenticate
from node.access.tokens import Credentials
from node.edge.status import CallRefused, Code, Ending
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import ConnectRequest
from node.session import Parts


def check_welcome(parts: Parts) -> None:
    """Send a client away for a while: another node, or this one a little later, takes it.

    Raises:
        CallRefused: UNAVAILABLE, with the time to wait.
    """
    if cause := parts.refusal():
        raise CallRefused(Ending(Code.UNAVAILABLE, "this node takes no new sessions now"), cause)


def check_size(parts: Parts, message: bytes) -> None:
    """See that a client's message is not too long.

    Raises:
        CallRefused: RESOURCE_EXHAUSTED.
    """
    bytes_max = parts.config.grpc_server.message_size_limit
    parts.metrics.bytes_in += len(message)
    if len(message) > bytes_max:
        details = f"a message of {len(message)} bytes; grpc_server.message_size_limit is {bytes_max}"
        raise CallRefused(Ending(Code.RESOURCE_EXHAUSTED, details), "message_size")


def credentials(parts: Parts, token: str, certified_user: str = "") -> Credentials:
    """Who calls, for a call that is no session.

    Args:
        parts: the node's.
        token: of its metadata, "" for none.
        certified_user: see authenticate.

    Raises:
        CommandError: the token has expired.
        RemoteProtocolError: it is no good, or there is none where one is needed.
    """
    return authenticate(ConnectRequest(token=token), parts.config.client, time.time(), certified_user)


def undecodable(name: str) -> RemoteProtocolError:
    """A message is none of the contract's.

    Args:
        name: of the message it should be.
    """
    return RemoteProtocolError(f"the message is not a Protobuf {name}")
