"""How a call ends: a status code with its reason, one table for each kind of reason. Pure.

Source: the meanings of the codes in protos/edge.proto.
"""

import random
from enum import IntEnum
from typing import NamedTuple

from node.broker.interface import BrokerError
from node.protocol import reasons
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.reasons import DisconnectReason


class Code(IntEnum):
    """The codes of gRPC by their numbers; apart from its library, which an HTTP node does not load."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16
    UNKNOWN = 2


# Clients that are sent away come back after one to so many times this, and not all at once.
_RETRY_AFTER_MS = 500
_RETRY_SPREAD = 3

_OF_REPLY = {
    reasons.INTERNAL.code: Code.UNAVAILABLE,
    reasons.UNAUTHORIZED.code: Code.UNAUTHENTICATED,
    reasons.UNKNOWN_CHANNEL.code: Code.NOT_FOUND,
    reasons.PERMISSION_DENIED.code: Code.PERMISSION_DENIED,
    reasons.METHOD_NOT_FOUND.code: Code.UNIMPLEMENTED,
    reasons.ALREADY_SUBSCRIBED.code: Code.INVALID_ARGUMENT,
    reasons.LIMIT_EXCEEDED.code: Code.RESOURCE_EXHAUSTED,
    reasons.BAD_REQUEST.code: Code.INVALID_ARGUMENT,
    reasons.NOT_AVAILABLE.code: Code.FAILED_PRECONDITION,
    reasons.TOKEN_EXPIRED.code: Code.UNAUTHENTICATED,
    reasons.EXPIRED.code: Code.UNAUTHENTICATED,
    reasons.TOO_MANY_REQUESTS.code: Code.RESOURCE_EXHAUSTED,
    reasons.UNRECOVERABLE_POSITION.code: Code.OUT_OF_RANGE,
}
_OF_DISCONNECT = {
    reasons.CONNECTION_EXPIRED.code: Code.UNAUTHENTICATED,
    reasons.SLOW.code: Code.RESOURCE_EXHAUSTED,
    reasons.DISCONNECT_TOO_MANY_REQUESTS.code: Code.RESOURCE_EXHAUSTED,
    reasons.INVALID_TOKEN.code: Code.UNAUTHENTICATED,
    reasons.DISCONNECT_BAD_REQUEST.code: Code.INVALID_ARGUMENT,
    reasons.STALE.code: Code.DEADLINE_EXCEEDED,
    reasons.FORCE_DISCONNECT.code: Code.PERMISSION_DENIED,
    reasons.CONNECTION_LIMIT.code: Code.RESOURCE_EXHAUSTED,
    reasons.CHANNEL_LIMIT.code: Code.RESOURCE_EXHAUSTED,
    reasons.DISCONNECT_PERMISSION_DENIED.code: Code.PERMISSION_DENIED,
    reasons.DISCONNECT_NOT_AVAILABLE.code: Code.UNIMPLEMENTED,
}


class Ending(NamedTuple):
    """How a call ends.

    Attributes:
        code: the status.
        details: why, for people; contains no token.
        number: the client protocol's code for it, 0 for none.
    """

    code: Code
    details: str
    number: int = 0

    @property
    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with it: the number, and for who may come back, when."""
        fields = (("broadcast-code", str(self.number)),) if self.number else ()
        if self.code is not Code.UNAVAILABLE:
            return fields
        wait_ms = random.randint(_RETRY_AFTER_MS, _RETRY_SPREAD * _RETRY_AFTER_MS)  # noqa: S311 - spreading load is no secret
        return (*fields, ("retry-after-ms", str(wait_ms)))


class CallRefused(Exception):
    """A call that is not served.

    Args:
        ending: how it ends.
        cause: one word for the metric, out of the program.
    """

    def __init__(self, ending: Ending, cause: str) -> None:
        super().__init__(ending.details)
        self.ending = ending
        self.cause = cause


def ending_of(reason: DisconnectReason, where: str = "") -> Ending:
    """How a stream ends whose session was closed.

    Args:
        reason: of the close.
        where: the channel it is about, "" for none.
    """
    details = f"{where}: {reason.reason}" if where else reason.reason
    if reason == reasons.TOKEN_MISSING:
        return Ending(Code.UNAUTHENTICATED, details, reason.code)
    otherwise = Code.UNAVAILABLE if reason.reconnect else Code.FAILED_PRECONDITION
    return Ending(_OF_DISCONNECT.get(reason.code, otherwise), details, reason.code)


def ending_of_failure(failure: CommandError | RemoteProtocolError | BrokerError | TimeoutError) -> Ending:
    """How a call ends that failed.

    Args:
        failure: a TimeoutError stands for the node's own deadline.
    """
    if isinstance(failure, CommandError):
        error = failure.error
        details = f"{error.message}: {failure.detail}" if failure.detail else error.message
        return Ending(_OF_REPLY.get(error.code, Code.UNKNOWN), details, error.code)
    if isinstance(failure, RemoteProtocolError):
        ending = ending_of(failure.reason)
        return ending._replace(details=f"{ending.details}: {failure.detail}")
    if isinstance(failure, TimeoutError):
        return Ending(Code.DEADLINE_EXCEEDED, "the node's deadline passed", reasons.INTERNAL.code)
    return Ending(Code.UNAVAILABLE, reasons.INTERNAL.message, reasons.INTERNAL.code)
