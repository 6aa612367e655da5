"""Who a client is, decided from its connect or refresh command. Pure.

Source: the client protocol reference, 4.2 and 8.3.
"""

from node.access.tokens import Credentials, verify_connection_token
from node.config.options import ClientOptions
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.messages import ConnectRequest, RefreshRequest
from node.protocol.reasons import (
    CONNECTION_EXPIRED,
    DISCONNECT_PERMISSION_DENIED,
    EXPIRED,
    INVALID_TOKEN,
    TOKEN_MISSING,
)


def authenticate(
    request: ConnectRequest, options: ClientOptions, now: float, certified_user: str = ""
) -> Credentials:
    """Who may connect, and as whom.

    Args:
        request: with a token, or without.
        options: what is accepted.
        now: seconds since 1970.
        certified_user: who its certificate says that it is, "" if it has none; a token goes before it.

    Raises:
        TokenExpired: error 109: the client asks its application for a new token.
        CommandError: error 110: the token is good, the connection it allows is over.
        RemoteProtocolError: 3500 for a bad token, 3507 for an anonymous one where that is switched off,
            3501 for none where one is needed.
    """
    if request.token and not _anybody(options):
        credentials = verify_connection_token(request.token, options.token, now)
        if not credentials.user and options.disallow_anonymous_connection_tokens:
            raise RemoteProtocolError("the token names no user", DISCONNECT_PERMISSION_DENIED)
        return _lasting(credentials, options, now)
    if certified_user:
        return Credentials(certified_user)
    if options.insecure or options.allow_anonymous_connect_without_token:
        return Credentials()
    raise RemoteProtocolError(
        "no token, and client.allow_anonymous_connect_without_token is off", TOKEN_MISSING
    )


def verify_refresh(request: RefreshRequest, user: str, options: ClientOptions, now: float) -> Credentials:
    """New credentials for a connection that lives already.

    Args:
        request: with the new token.
        user: whose connection it is.
        options: what is accepted.
        now: seconds since 1970.

    Raises:
        RemoteProtocolError: 3501 without a token, 3005 for an expired one, 3500 for a bad one or
            another user's.
    """
    if not request.token:
        raise RemoteProtocolError("refresh without a token", TOKEN_MISSING)
    if _anybody(options):
        return Credentials(user)
    try:
        credentials = _lasting(verify_connection_token(request.token, options.token, now), options, now)
    except CommandError as error:
        raise RemoteProtocolError(error.detail, CONNECTION_EXPIRED) from error
    if credentials.user != user:
        raise RemoteProtocolError("the token is another user's", INVALID_TOKEN)
    return credentials


def _anybody(options: ClientOptions) -> bool:
    """Whether tokens are not even looked at: in development, where no key is set to check them with."""
    return options.insecure and not options.token.hmac_secret_key


def _lasting(credentials: Credentials, options: ClientOptions, now: float) -> Credentials:
    if options.insecure:
        return Credentials(credentials.user, credentials.info)
    if credentials.expire_at is not None and credentials.expire_at <= now:
        raise CommandError(EXPIRED, "expire_at has passed")
    return credentials
