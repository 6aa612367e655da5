"""Connection tokens: what is accepted, and everything that must not be."""

import base64
import json
import string
from contextlib import suppress
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.access.errors import TokenExpired, TokenInvalid
from node.access.tokens import Credentials, make_token, verify_connection_token
from node.config.options import TokenOptions
from node.protocol.reasons import INVALID_TOKEN, TOKEN_EXPIRED

NOW = 1_700_000_000.0
KEY = "a shared secret of at least sixty-four bytes, for the longest of the hashes"
OPTIONS = TokenOptions(hmac_secret_key=KEY)
RSA_PUBLIC_PEM = (
    "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD9\n-----END PUBLIC KEY-----\n"
)


def sign(claims: Any, key: str = KEY, algorithm: str = "HS256", headers: dict[str, Any] | None = None) -> str:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jwt.PyJWS().encode(payload, key, algorithm, headers)


def forge(header: Any, claims: Any, signature: str = "") -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    ]
    return ".".join([*parts, signature])


def verify(token: str, options: TokenOptions = OPTIONS, now: float = NOW) -> Credentials:
    return verify_connection_token(token, options, now)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_three_hmac_algorithms_are_accepted(algorithm: str) -> None:
    """Backends sign with whichever their library has."""
    assert verify(sign({"sub": "ann"}, algorithm=algorithm)).user == "ann"


def test_made_tokens_are_accepted() -> None:
    """What `broadcast token` prints lets its holder in, with every check switched on."""
    options = TokenOptions(hmac_secret_key=KEY, audience="us", issuer="backend", user_id_claim="uid")
    token = make_token(options, "ann", now=NOW, ttl_s=60, info=b'{"name": "Ann"}', algorithm="HS512")
    credentials = verify(token, options)
    assert (credentials.user, credentials.expire_at) == ("ann", NOW + 60)
    assert json.loads(credentials.info) == {"name": "Ann"}
    with pytest.raises(TokenExpired):
        verify(token, options, NOW + 60)


def test_a_token_without_expiry_lasts() -> None:
    """No `exp`: neither the token nor the connection ends."""
    assert verify(make_token(OPTIONS, "ann", now=NOW), now=NOW * 2) == Credentials("ann")


@pytest.mark.parametrize(
    "arguments", [{"algorithm": "none"}, {"algorithm": "RS256"}, {"info": b"{"}, {"options": TokenOptions()}]
)
def test_impossible_tokens_are_not_made(arguments: dict[str, Any]) -> None:
    """No token is signed without a key, with another algorithm or around broken JSON."""
    with pytest.raises(ValueError, match=r"hmac_secret_key|algorithm|JSON"):
        make_token(**({"options": OPTIONS, "user": "ann", "now": NOW} | arguments))


@pytest.mark.parametrize(
    ("claims", "expire_at"),
    [
        ({}, None),
        ({"exp": NOW + 5}, NOW + 5),
        ({"exp": NOW + 5, "expire_at": NOW + 90}, NOW + 90),
        ({"exp": NOW + 5, "expire_at": 0}, None),
        ({"expire_at": NOW + 90}, NOW + 90),
        ({"expire_at": 0}, None),
        # Whether an expiry of the past lets anybody in is not the token's question.
        ({"expire_at": 1}, 1.0),
        ({"exp": NOW + 0.5}, NOW + 0.5),
    ],
)
def test_the_connections_end_is_exp_unless_expire_at_says_otherwise(
    claims: dict[str, float], expire_at: float | None
) -> None:
    """`expire_at` sets the two apart; 0 means never."""
    assert verify(sign(claims)).expire_at == expire_at


@pytest.mark.parametrize(
    ("claims", "info"),
    [
        ({"info": {"a": [1, None]}}, b'{"a": [1, null]}'),
        ({"info": None}, b""),
        ({"b64info": "eyJhIjoxfQ==", "info": 5}, b'{"a":1}'),
        (b'{"info": {\r\n"a": "\\n"}}', b'{  "a": "\\n"}'),
    ],
)
def test_info_is_taken_as_it_is(claims: Any, info: bytes) -> None:
    """JSON stays JSON, on one line because line breaks end a message; b64info wins."""
    assert verify(sign(claims)).info == info


def test_a_missing_subject_is_an_anonymous_user() -> None:
    """Whether one may connect is decided elsewhere."""
    assert verify(sign({})).user == ""


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": 5},
        {"sub": None},
        {"sub": "ann", "channel": "news"},
        {"nbf": NOW + 1},
        {"nbf": "soon"},
        {"exp": str(NOW + 5)},
        {"exp": True},
        {"exp": -1},
        {"exp": 10**400},
        {"exp": None},
        {"expire_at": "never"},
        {"expire_at": 2**60},
        {"b64info": "???"},
        {"b64info": 5},
        [],
        "ann",
        b"",
        b"{",
        b"\xff",
        b'{"sub": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_claims_that_mean_nothing_are_refused(claims: Any) -> None:
    """A good signature does not excuse claims of the wrong type or for another purpose."""
    with pytest.raises(TokenInvalid):
        verify(sign(claims))


@pytest.mark.parametrize(
    ("aud", "good"),
    [("us", True), (["them", "us"], True), ("them", False), ([], False), (None, False), ([5], False)],
)
def test_the_audience_must_name_us(aud: Any, good: bool) -> None:
    """A token for another service of the same backend is not for us."""
    options = TokenOptions(hmac_secret_key=KEY, audience="us")
    token = sign({"sub": "ann", "aud": aud})
    if good:
        assert verify(token, options).user == "ann"
    else:
        with pytest.raises(TokenInvalid, match=r"^aud "):
            verify(token, options)


@pytest.mark.parametrize("claims", [{}, {"iss": "other"}, {"iss": ["backend"]}, {"aud": "us"}])
def test_the_issuer_must_be_ours(claims: dict[str, Any]) -> None:
    """Where an issuer is configured it is required, as is an audience."""
    with pytest.raises(TokenInvalid, match=r"^iss "):
        verify(sign(claims), TokenOptions(hmac_secret_key=KEY, issuer="backend"))


@pytest.mark.parametrize("claims", [{"exp": NOW}, {"exp": NOW - 1, "expire_at": 0}, {"exp": 0}])
def test_an_expired_token_asks_for_a_new_one(claims: dict[str, float]) -> None:
    """Error 109, from the very moment of `exp` on."""
    with pytest.raises(TokenExpired) as caught:
        verify(sign(claims))
    assert caught.value.error is TOKEN_EXPIRED


def test_an_expired_token_that_was_never_good_is_invalid() -> None:
    """Its holder is not invited to fetch another one of the same kind."""
    with pytest.raises(TokenInvalid) as caught:
        verify(sign({"exp": NOW - 1, "channel": "news"}))
    assert caught.value.reason is INVALID_TOKEN


def test_keys_can_be_rotated() -> None:
    """Tokens of the key before the last rotation are good, those of older keys are not."""
    options = TokenOptions(hmac_secret_key="new" * 20, hmac_previous_secret_key="old" * 20)
    for key in ("new", "old"):
        assert verify(sign({"sub": key}, key * 20), options).user == key
    with pytest.raises(TokenInvalid, match="signature"):
        verify(sign({"sub": "x"}, "older" * 20), options)


def test_a_short_key_works_without_a_word() -> None:
    """The key's length is remarked at the start, not at every connect."""
    assert verify(sign({"sub": "ann"}, KEY), TokenOptions(hmac_secret_key=KEY)).user == "ann"
    options = TokenOptions(hmac_secret_key="secret")
    assert verify(make_token(options, "ann", now=NOW), options).user == "ann"


@pytest.mark.parametrize(
    "token",
    [
        forge({"alg": "none"}, {"sub": "admin"}),
        forge({"alg": "None"}, {"sub": "admin"}),
        forge({"alg": "nOnE", "typ": "JWT"}, {"sub": "admin"}, "AAAA"),
        forge({}, {"sub": "admin"}),
        forge({"alg": None}, {"sub": "admin"}),
        forge({"alg": ["HS256"]}, {"sub": "admin"}),
        forge({"alg": {"HS256": 1}}, {"sub": "admin"}),
        forge({"alg": "HS256"}, {"sub": "admin"}),
        forge({"alg": "HS256"}, {"sub": "admin"}, "AAAA"),
        forge({"alg": "RS256"}, {"sub": "admin"}, "AAAA"),
        forge([], {"sub": "admin"}, "AAAA"),
        forge({"alg": "HS256", "b64": False, "crit": ["b64"]}, {"sub": "admin"}, "AAAA"),
        sign({"sub": "admin"}, "another key " * 8),
        sign({"sub": "admin"}, headers={"crit": ["x"], "x": 1}),
        sign({"sub": "ann"})[:-1],
        sign({"sub": "ann"}) + "A",
        sign({"sub": "ann"}) + ".",
        sign({"sub": "ann"}).replace(".", ":"),
        sign({"sub": "ann"}).upper(),
        "A" * 1_000_000,
        "." * 100_000,
        f"{'A' * 500_000}.{'A' * 500_000}.AAAA",
        "",
        "..",
        "ключ",
        "\ud800",
        "\x00",
    ],
)
def test_forged_tokens_are_refused(token: str) -> None:
    """No algorithm but ours, no key but ours, nothing cut off, added or changed."""
    with pytest.raises(TokenInvalid) as caught:
        verify(token)
    assert token == "" or token not in str(caught.value)
    assert "admin" not in str(caught.value)


def test_an_asymmetric_token_is_refused_even_if_our_secret_verifies_it() -> None:
    """RS256 with the secret taken for a public key, and HS256 keyed with a public key, are old tricks."""
    options = TokenOptions(hmac_secret_key=RSA_PUBLIC_PEM)
    # Signed by hand, since the library refuses to: HMAC over the input with the PEM text as its key.
    signing_input = forge({"alg": "HS256"}, {"sub": "admin"}).rpartition(".")[0].encode()
    digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signing_input, RSA_PUBLIC_PEM.encode()
    )
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    for algorithm in ("RS256", "HS256"):
        forged = forge({"alg": algorithm}, {"sub": "admin"}, signature)
        with pytest.raises(TokenInvalid):
            verify(forged, options)


def test_without_a_key_no_token_is_good() -> None:
    """An empty key is no key, not even for a token signed with an empty one."""
    with pytest.raises(TokenInvalid):
        verify(sign({"sub": "admin"}, KEY), TokenOptions())


base64url = st.text(alphabet=string.ascii_letters + string.digits + "-_", max_size=60)
plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
)
names = st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "info", "b64info", "expire_at", "channel"])


@settings(deadline=None)
@given(st.text(max_size=80) | st.lists(base64url, max_size=4).map(".".join))
def test_garbage_is_invalid_and_nothing_else(token: str) -> None:
    """Whatever a client sends as its token, the answer is a refusal."""
    with pytest.raises(TokenInvalid):
        verify(token)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "x"]), plain, max_size=4))
def test_any_header_without_our_signature_is_invalid(header: dict[str, Any]) -> None:
    """Nor does any header switch the check off."""
    with pytest.raises(TokenInvalid):
        verify(forge(header, {"sub": "admin"}, "AAAA"))


@settings(deadline=None)
@given(st.dictionaries(names, plain, max_size=5))
def test_any_claims_give_credentials_or_a_token_error(claims: dict[str, Any]) -> None:
    """A backend's mistake in its claims is an error of the token, never of ours."""
    options = TokenOptions(hmac_secret_key=KEY, audience="us")
    with suppress(TokenInvalid, TokenExpired):
        assert isinstance(verify(sign(claims), options), Credentials)
