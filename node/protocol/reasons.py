"""Why a reply failed, a subscription ended or a connection was closed: one table each.

Codes and texts are the client protocol's; SDKs decide from the code alone whether to come back:
a connection closed with 3500-3999 or 4500-4999 stays closed, an unsubscribe below 2500 is final.
A reason is never empty and never valid JSON, because SDKs read those two differently.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplyError:
    """Why one command failed; the session goes on.

    Attributes:
        code: the protocol's number.
        message: short text that SDKs show to their users.
        temporary: whether the same command may succeed later without a change.
    """

    code: int
    message: str
    temporary: bool = False


INTERNAL = ReplyError(100, "internal server error", temporary=True)
UNAUTHORIZED = ReplyError(101, "unauthorized")
UNKNOWN_CHANNEL = ReplyError(102, "unknown channel")
PERMISSION_DENIED = ReplyError(103, "permission denied")
METHOD_NOT_FOUND = ReplyError(104, "method not found")
ALREADY_SUBSCRIBED = ReplyError(105, "already subscribed")
LIMIT_EXCEEDED = ReplyError(106, "limit exceeded")
BAD_REQUEST = ReplyError(107, "bad request")
NOT_AVAILABLE = ReplyError(108, "not available")
TOKEN_EXPIRED = ReplyError(109, "token expired")
EXPIRED = ReplyError(110, "expired")
TOO_MANY_REQUESTS = ReplyError(111, "too many requests", temporary=True)
UNRECOVERABLE_POSITION = ReplyError(112, "unrecoverable position")


@dataclass(frozen=True, slots=True)
class UnsubscribeReason:
    """Why the server ended a subscription; from 2500 on the client subscribes again.

    Attributes:
        code: the protocol's number.
        reason: short text, never empty.
    """

    code: int
    reason: str


UNSUBSCRIBED_BY_SERVER = UnsubscribeReason(2000, "server unsubscribe")
UNSUBSCRIBED_INSUFFICIENT_STATE = UnsubscribeReason(2500, "insufficient state")
UNSUBSCRIBED_EXPIRED = UnsubscribeReason(2501, "subscription expired")


@dataclass(frozen=True, slots=True)
class DisconnectReason:
    """Why a connection was closed.

    Attributes:
        code: the protocol's number, also the WebSocket close code.
        reason: short text, never empty and never valid JSON.
    """

    code: int
    reason: str

    @property
    def reconnect(self) -> bool:
        """Whether an SDK comes back after this code."""
        return not (3500 <= self.code < 4000 or 4500 <= self.code < 5000)


CONNECTION_CLOSED = DisconnectReason(3000, "connection closed")
SHUTDOWN = DisconnectReason(3001, "shutdown")
# The same for SDKs, which come back; people and metrics tell them apart.
MOVED = DisconnectReason(3001, "moved to another node")
CONNECTION_AGED = DisconnectReason(3001, "connection age")
SERVER_ERROR = DisconnectReason(3004, "internal server error")
CONNECTION_EXPIRED = DisconnectReason(3005, "connection expired")
SLOW = DisconnectReason(3008, "slow")
WRITE_ERROR = DisconnectReason(3009, "write error")
INSUFFICIENT_STATE = DisconnectReason(3010, "insufficient state")
FORCE_RECONNECT = DisconnectReason(3011, "force reconnect")
NO_PONG = DisconnectReason(3012, "no pong")
DISCONNECT_TOO_MANY_REQUESTS = DisconnectReason(3013, "too many requests")
INVALID_TOKEN = DisconnectReason(3500, "invalid token")
DISCONNECT_BAD_REQUEST = DisconnectReason(3501, "bad request")
# The same for SDKs, which go by the code; people read what they have forgotten.
TOKEN_MISSING = DisconnectReason(3501, "bad request: no token")
STALE = DisconnectReason(3502, "stale")
FORCE_DISCONNECT = DisconnectReason(3503, "force disconnect")
CONNECTION_LIMIT = DisconnectReason(3504, "connection limit")
CHANNEL_LIMIT = DisconnectReason(3505, "channel limit")
INAPPROPRIATE_PROTOCOL = DisconnectReason(3506, "inappropriate protocol")
DISCONNECT_PERMISSION_DENIED = DisconnectReason(3507, "permission denied")
DISCONNECT_NOT_AVAILABLE = DisconnectReason(3508, "not available")

# What a unidirectional client, which sees no replies, is closed with when its connect is refused.
UNIDIRECTIONAL_CONNECT_ERRORS = {
    TOKEN_EXPIRED.code: CONNECTION_EXPIRED,
    EXPIRED.code: CONNECTION_EXPIRED,
    TOO_MANY_REQUESTS.code: DISCONNECT_TOO_MANY_REQUESTS,
    PERMISSION_DENIED.code: DISCONNECT_PERMISSION_DENIED,
}
