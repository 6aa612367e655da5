"""The errors of the protocol core.

ProtocolError            the root; never raised itself
├── LocalProtocolError   this program broke the protocol: a bug, let it be seen
├── RemoteProtocolError  the client broke the protocol: close it with `reason`, politely
├── CommandError         one command cannot be served: answer it with `error`, the session goes on
└── UnencodablePayload   a payload cannot travel in this client's encoding: close the client with 3506
"""

from node.protocol.reasons import DISCONNECT_BAD_REQUEST, DisconnectReason, ReplyError


class ProtocolError(Exception):
    """Root of everything the protocol core raises on purpose."""


class LocalProtocolError(ProtocolError):
    """This program did something the protocol does not allow: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The client sent something the protocol does not allow.

    Args:
        detail: what was wrong and where, for the log; never contains payload or token.
        reason: what the client is told when its connection is closed.
    """

    def __init__(self, detail: str, reason: DisconnectReason = DISCONNECT_BAD_REQUEST) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason


class CommandError(ProtocolError):
    """One command cannot be served; its reply carries `error` and the session goes on.

    Args:
        error: the table's entry for the reply.
        detail: what was wrong, for the log; never contains payload or token.
    """

    def __init__(self, error: ReplyError, detail: str = "") -> None:
        super().__init__(detail or error.message)
        self.error = error
        self.detail = detail


class UnencodablePayload(ProtocolError):
    """A payload that is not valid JSON was to go to a client that speaks JSON.

    The client is closed with INAPPROPRIATE_PROTOCOL: it would never get to see this channel's payloads.
    """
