"""What is allowed but dangerous or surprising, one row each, to be said aloud at every start.

A row's text is a format string over `c` (the Config). Predicates are pure.
"""

from collections.abc import Callable
from typing import NamedTuple

from node.config.options import Config

_HMAC_KEY_BYTES_MIN = 32
_SDK_COMMAND_TIMEOUT_S = 5.0


class Caution(NamedTuple):
    """One row: what is allowed, and what it means.

    Attributes:
        applies: whether to say it.
        text: the warning.
    """

    applies: Callable[[Config], bool]
    text: str


CAUTIONS: tuple[Caution, ...] = (
    Caution(
        lambda c: c.client.insecure,
        "client.insecure is on: ANYBODY can connect, subscribe, publish and read history, without a token; "
        "never in production",
    ),
    Caution(
        lambda c: c.http_api.insecure,
        "http_api.insecure is on: ANYBODY who reaches this port can publish anywhere; never in production",
    ),
    Caution(
        lambda c: (
            not c.client.insecure
            and not c.client.token.hmac_secret_key
            and not c.client.allow_anonymous_connect_without_token
        ),
        "no client can connect: set client.token.hmac_secret_key, or "
        "client.allow_anonymous_connect_without_token, or client.insecure for development",
    ),
    Caution(
        lambda c: not c.http_api.insecure and not c.http_api.key,
        "every call of the server API is answered 401: set http_api.key",
    ),
    Caution(
        lambda c: c.grpc_api.enabled and c.grpc_api.insecure,
        "grpc_api.insecure is on: ANYBODY who reaches that port can publish anywhere; never in production",
    ),
    Caution(
        lambda c: c.grpc_api.enabled and not c.grpc_api.insecure and not c.grpc_api.key,
        "every call of the server API over gRPC is refused: set grpc_api.key",
    ),
    Caution(
        lambda c: any(
            0 < len(key.encode()) < _HMAC_KEY_BYTES_MIN
            for key in (c.client.token.hmac_secret_key, c.client.token.hmac_previous_secret_key)
        ),
        # RFC 7518 section 3.2: "A key of the same size as the hash output (for instance, 256 bits for
        # "HS256") or larger MUST be used".
        "a key in client.token is shorter than 32 bytes and can be guessed from one token: make a longer one",
    ),
    Caution(
        lambda c: c.client.command_deadline_s >= _SDK_COMMAND_TIMEOUT_S,
        "client.command_deadline_s is {c.client.command_deadline_s:g} s, but SDKs give up after 5 s and "
        "reconnect: stay below",
    ),
    Caution(
        lambda c: c.history.tail_size < c.client.recovery_max_publication_limit,
        "history.tail_size ({c.history.tail_size}) is below client.recovery_max_publication_limit "
        "({c.client.recovery_max_publication_limit}): the longer recoveries read from the store, "
        "many at once after a node is lost",
    ),
)


def warnings(config: Config) -> tuple[str, ...]:
    """What is allowed but dangerous or surprising, to be said aloud at every start.

    Args:
        config: as `load` returned it.
    """
    return tuple(row.text.format(c=config) for row in CAUTIONS if row.applies(config))
