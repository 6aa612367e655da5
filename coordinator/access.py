"""Whether a caller may control the cluster. Pure: no door and no log is known here."""

from hmac import compare_digest

from coordinator.errors import NotAllowed

_SCHEME = "bearer "


class TokenCheck:
    """Compares what callers send with the coordinator's token.

    Args:
        token: the coordinator's; "" with `insecure` unset refuses everybody.
        insecure: everybody may do everything, with whatever token: for development.
    """

    def __init__(self, token: str, *, insecure: bool) -> None:
        self._token = token.encode()
        self._insecure = insecure

    def check(self, authorization: str) -> None:
        """Return if the caller may go on.

        Args:
            authorization: the header or metadata value, "" if there is none (RFC 6750, section 2.1).

        Raises:
            NotAllowed: no token, a wrong one, or none was configured.
        """
        if self._insecure:
            return
        if not self._token:
            raise NotAllowed("this coordinator has no token (coordinator.token), so it takes no calls")
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise NotAllowed("send the coordinator's token as `authorization: Bearer TOKEN`")
        # In constant time: how much of a guess was right must not be measurable.
        if not compare_digest(authorization[len(_SCHEME) :].strip().encode(), self._token):
            raise NotAllowed("the token is not this coordinator's")
