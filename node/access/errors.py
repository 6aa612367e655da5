"""Why a token is not accepted, as the errors a session answers with.

CommandError            (node.protocol)
└── TokenExpired        the client gets error 109 and asks its application for another one
RemoteProtocolError     (node.protocol)
└── TokenInvalid        the client is closed with 3500 and does not come back with it

Their details name the claim that was wrong and never quote it, let alone the token.
"""

from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.reasons import INVALID_TOKEN, TOKEN_EXPIRED


class TokenExpired(CommandError):
    """The token was good until its `exp`."""

    def __init__(self) -> None:
        super().__init__(TOKEN_EXPIRED, "exp has passed")


class TokenInvalid(RemoteProtocolError):
    """The token was never good for this.

    Args:
        detail: which part of it was wrong, for the log.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail, INVALID_TOKEN)
