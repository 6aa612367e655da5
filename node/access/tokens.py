"""Connection tokens: JWTs signed with a shared secret. Pure: time is an argument, nothing is logged.

PyJWT checks the signature and nothing else; claims are checked here, against the moment we are given.
Source: the client protocol reference, 8.1, and RFC 7519.
"""

import base64
import binascii
from typing import Any

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm

from node.access.errors import TokenExpired, TokenInvalid
from node.config.options import TokenOptions

_HASHES = {"HS256": HMACAlgorithm.SHA256, "HS384": HMACAlgorithm.SHA384, "HS512": HMACAlgorithm.SHA512}
# Beyond it a float no longer counts whole seconds.
_NUMERIC_DATE_MAX = 2**53
_TEXT = msgspec.json.Decoder(str)
_NUMBER = msgspec.json.Decoder(int | float)
_TEXTS = msgspec.json.Decoder(str | list[str])
_CLAIMS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Credentials(msgspec.Struct, frozen=True):
    """Who a client is.

    Attributes:
        user: "" for an anonymous one.
        info: shown to others with its publications, JSON on JSON connections; b"" for none.
        expire_at: when the connection must be refreshed, seconds since 1970; None for never.
    """

    user: str = ""
    info: bytes = b""
    expire_at: float | None = None


class _SharedSecret(HMACAlgorithm):
    """HMAC that says nothing of a key's length, which is told once, when the configuration is loaded."""

    def check_key_length(self, key: bytes) -> str | None:  # noqa: ARG002 - the base class's signature
        return None


def _signatures() -> jwt.PyJWS:
    # Only these three are known to it at all: RFC 8725 section 3.1 wants "alg" never to choose, so that
    # neither "none" nor an RSA algorithm with our secret as its public key can be tried.
    signatures = jwt.PyJWS(algorithms=list(_HASHES))
    for name, hash_function in _HASHES.items():
        signatures.unregister_algorithm(name)
        signatures.register_algorithm(name, _SharedSecret(hash_function))
    return signatures


_SIGNATURES = _signatures()


def verify_connection_token(token: str, options: TokenOptions, now: float) -> Credentials:
    """Who the holder of a token is.

    Args:
        token: as the client sent it.
        options: keys, and what the claims must be.
        now: seconds since 1970.

    Raises:
        TokenExpired: good but for its `exp`.
        TokenInvalid: anything else.
    """
    claims = _claims(_payload(token, options))
    if "channel" in claims:
        raise TokenInvalid("a claim `channel` makes it a subscription token")
    if "nbf" in claims and _date(claims, "nbf") > now:
        # RFC 7519 section 4.1.5: "identifies the time before which the JWT MUST NOT be accepted".
        raise TokenInvalid("nbf has not come")
    if options.issuer and _text(claims, "iss") != options.issuer:
        raise TokenInvalid("iss is another")
    if options.audience and options.audience not in _audience(claims):
        raise TokenInvalid("aud does not name us")
    user = _text(claims, options.user_id_claim)
    info = _info(claims)
    expires = _date(claims, "exp") if "exp" in claims else None
    # expire_at sets the connection's end apart from the token's: 0 for none.
    expire_at = (_date(claims, "expire_at") or None) if "expire_at" in claims else expires
    # RFC 7519 section 4.1.4: "the expiration time on or after which the JWT MUST NOT be accepted". Last,
    # because "expired" invites the client to come back with a token that would be refused again.
    if expires is not None and expires <= now:
        raise TokenExpired
    return Credentials(user, info, expire_at)


def make_token(
    options: TokenOptions,
    user: str,
    *,
    now: float,
    ttl_s: float | None = None,
    info: bytes = b"",
    algorithm: str = "HS256",
) -> str:
    """A token that `verify_connection_token` accepts with the same options.

    Args:
        options: with the key to sign with.
        user: who the holder will be, "" for an anonymous one.
        now: seconds since 1970.
        ttl_s: seconds until it expires, None for never.
        info: JSON shown to others, b"" for none.
        algorithm: HS256, HS384 or HS512.

    Raises:
        ValueError: there is no key, another algorithm is asked for, or `info` is not JSON.
    """
    if not options.hmac_secret_key:
        raise ValueError("client.token.hmac_secret_key is empty; set it to sign tokens")
    if algorithm not in _HASHES:
        raise ValueError(f"expected one of {', '.join(_HASHES)} as the algorithm")
    claims: dict[str, Any] = {options.user_id_claim: user, "iat": int(now)}
    if ttl_s is not None:
        claims["exp"] = int(now + ttl_s)
    if options.audience:
        claims["aud"] = options.audience
    if options.issuer:
        claims["iss"] = options.issuer
    if info:
        try:
            claims["info"] = msgspec.json.decode(info)
        except msgspec.DecodeError as error:
            raise ValueError("info is not JSON") from error
    return _SIGNATURES.encode(msgspec.json.encode(claims), options.hmac_secret_key, algorithm)


def _payload(token: str, options: TokenOptions) -> bytes:
    if not options.hmac_secret_key:
        raise TokenInvalid("client.token.hmac_secret_key is not set")
    # Nothing else is base64url, and a lone surrogate could not even be encoded.
    if not token.isascii():
        raise TokenInvalid("not a JWT")
    for key in filter(None, (options.hmac_secret_key, options.hmac_previous_secret_key)):
        try:
            payload: bytes = _SIGNATURES.decode(token, key, algorithms=list(_HASHES))
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, TypeError):
            # TypeError: an `alg` that is a list or an object. The library's words may quote the header.
            raise TokenInvalid("malformed, or signed with another algorithm than HMAC") from None
        return payload
    raise TokenInvalid("the signature does not fit our key")


def _claims(payload: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _CLAIMS.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise TokenInvalid("the claims are not a JSON object") from None


def _decode(claims: dict[str, msgspec.Raw], name: str, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        return decoder.decode(claims[name])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TokenInvalid(f"{name} has the wrong type") from None


def _text(claims: dict[str, msgspec.Raw], name: str) -> str:
    text: str = _decode(claims, name, _TEXT) if name in claims else ""
    return text


def _date(claims: dict[str, msgspec.Raw], name: str) -> float:
    number: float = _decode(claims, name, _NUMBER)
    if not 0 <= number <= _NUMERIC_DATE_MAX:
        raise TokenInvalid(f"{name} is not a time in seconds")
    return float(number)


def _audience(claims: dict[str, msgspec.Raw]) -> list[str]:
    # RFC 7519 section 4.1.3: an array of strings or, "in the special case", one string.
    audience: str | list[str] = _decode(claims, "aud", _TEXTS) if "aud" in claims else []
    return [audience] if isinstance(audience, str) else audience


def _info(claims: dict[str, msgspec.Raw]) -> bytes:
    if encoded := _text(claims, "b64info"):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise TokenInvalid("b64info is not base64") from None
    info = bytes(claims.get("info", b""))
    if info == b"null":
        return b""
    # In JSON raw line breaks stand between tokens only, and to framings they are the end of a message.
    return info.translate(_SPACES)


_SPACES = bytes.maketrans(b"\r\n", b"  ")
