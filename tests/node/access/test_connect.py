"""Who may connect and refresh, and with which code everybody else is sent away."""

from typing import Any

import jwt
import pytest

from node.access.connect import authenticate, verify_refresh
from node.access.errors import TokenExpired
from node.access.tokens import Credentials, make_token
from node.config.options import ClientOptions, TokenOptions
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.messages import ConnectRequest, RefreshRequest

NOW = 1_700_000_000.0
TOKEN = TokenOptions(hmac_secret_key="k" * 32)


def client(**options: Any) -> ClientOptions:
    return ClientOptions(token=TOKEN, **options)


def token(user: str = "ann", ttl_s: float | None = 60) -> str:
    return make_token(TOKEN, user, now=NOW, ttl_s=ttl_s)


def connect(text: str, options: ClientOptions) -> Credentials:
    return authenticate(ConnectRequest(token=text), options, NOW)


def test_a_good_token_says_who_it_is() -> None:
    """User and expiry come from it."""
    assert connect(token(), client()) == Credentials("ann", b"", NOW + 60)


def test_no_token_is_a_bad_request() -> None:
    """3501 in words, where neither anonymous access nor the insecure mode is on."""
    with pytest.raises(RemoteProtocolError) as caught:
        connect("", client())
    assert (caught.value.reason.code, caught.value.reason.reason) == (3501, "bad request: no token")
    assert "client.allow_anonymous_connect_without_token" in caught.value.detail


def test_a_bad_token_is_final() -> None:
    """3500, also where one could come without any token."""
    for options in (client(), client(allow_anonymous_connect_without_token=True), client(insecure=True)):
        with pytest.raises(RemoteProtocolError) as caught:
            connect("bad", options)
        assert caught.value.reason.code == 3500


def test_an_expired_token_is_an_error_reply() -> None:
    """109, on which SDKs fetch a new one."""
    with pytest.raises(TokenExpired):
        connect(token(ttl_s=-1), client())


def test_an_expired_connection_is_an_error_reply() -> None:
    """110, for a token that is good and allows nothing any more."""
    text = jwt.PyJWS().encode(b'{"sub":"ann","expire_at":5}', TOKEN.hmac_secret_key, "HS256")
    with pytest.raises(CommandError) as caught:
        connect(text, client())
    assert caught.value.error.code == 110


def test_a_certificate_stands_in_for_a_missing_token_only() -> None:
    """Its name is the user; a token goes before it, and a bad one is not made good by it."""
    options = ClientOptions(token=TokenOptions(hmac_secret_key="k" * 32))
    assert authenticate(ConnectRequest(), options, NOW, "turbine-7") == Credentials("turbine-7")
    ann = ConnectRequest(token=make_token(options.token, "ann", now=NOW))
    assert authenticate(ann, options, NOW, "turbine-7").user == "ann"
    with pytest.raises(RemoteProtocolError):
        authenticate(ConnectRequest(token="nonsense"), options, NOW, "turbine-7")


def test_anonymous_access_needs_its_switch() -> None:
    """Without a token the user is "", and so it may be with one."""
    assert connect("", client(allow_anonymous_connect_without_token=True)) == Credentials()
    assert connect(token(""), client()).user == ""
    with pytest.raises(RemoteProtocolError) as caught:
        connect(token(""), client(disallow_anonymous_connection_tokens=True))
    assert caught.value.reason.code == 3507


def test_insecure_mode_lets_everybody_in_for_ever() -> None:
    """Known by its token if it has a good one, which then does not expire."""
    assert connect("", client(insecure=True)) == Credentials()
    assert connect(token(), client(insecure=True)) == Credentials("ann")


def test_insecure_mode_without_a_key_does_not_look_at_tokens() -> None:
    """A page written for production runs against a laptop's cluster."""
    assert connect("whatever", ClientOptions(insecure=True)) == Credentials()


def refresh(text: str, options: ClientOptions, user: str = "ann") -> Credentials:
    return verify_refresh(RefreshRequest(token=text), user, options, NOW)


def test_a_refresh_needs_a_good_token_of_the_same_user() -> None:
    """The new expiry counts from then on."""
    assert refresh(token(ttl_s=600), client()) == Credentials("ann", b"", NOW + 600)


@pytest.mark.parametrize(
    ("text", "code"), [("", 3501), ("bad", 3500), (token("bob"), 3500), (token(ttl_s=-1), 3005)]
)
def test_a_bad_refresh_closes(text: str, code: int) -> None:
    """Each with its code; only an expired token lets the client come back."""
    with pytest.raises(RemoteProtocolError) as caught:
        refresh(text, client())
    assert caught.value.reason.code == code


def test_insecure_mode_without_a_key_refreshes_everybody() -> None:
    """As it connects them."""
    assert refresh("whatever", ClientOptions(insecure=True)) == Credentials("ann")
