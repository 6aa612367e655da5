"""Warnings at every start."""

from typing import Any

import pytest

from node.config.cautions import warnings
from node.config.load import load

SAFE = {"client.token.hmac_secret_key": "k" * 32, "http_api.key": "key"}


def test_a_safe_config_has_no_warnings() -> None:
    """A warning that is always there is not read."""
    assert warnings(load(None, {}, SAFE)) == ()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"client.insecure": True}, "client.insecure is on: ANYBODY"),
        ({"http_api.insecure": True}, "http_api.insecure is on: ANYBODY"),
        ({"client.token.hmac_secret_key": ""}, "no client can connect"),
        ({"http_api.key": ""}, "answered 401"),
        ({"grpc_api.enabled": True, "grpc_api.insecure": True}, "grpc_api.insecure is on: ANYBODY"),
        ({"grpc_api.enabled": True}, "set grpc_api.key"),
        ({"client.token.hmac_secret_key": "secret"}, "shorter than 32 bytes"),
        ({"client.command_deadline_s": 5}, "SDKs give up after 5 s"),
        ({"history.tail_size": 299}, "history.tail_size (299) is below"),
    ],
)
def test_what_is_dangerous_is_said(overrides: dict[str, Any], said: str) -> None:
    """Each row of the table, by itself."""
    (warning,) = warnings(load(None, {}, SAFE | overrides))
    assert said in warning


def test_anonymous_access_needs_no_key() -> None:
    """Where everybody may come without a token, nobody needs to check one."""
    overrides = SAFE | {
        "client.token.hmac_secret_key": "",
        "client.allow_anonymous_connect_without_token": True,
    }
    assert warnings(load(None, {}, overrides)) == ()
