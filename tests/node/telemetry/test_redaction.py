"""What never reaches the log."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.telemetry.redaction import refuse_secrets


def refuse(**event: Any) -> dict[str, Any]:
    return dict(refuse_secrets(None, "info", event))


@pytest.mark.parametrize(
    "name",
    ["token", "data", "payload", "key", "authorization", "password", "Authorization", "api_key", "X-Api-Key",
     "hmac_secret_key", "conn_info", "jwt", "cookie", "nkey_seed"],
)  # fmt: skip
def test_secret_keys_are_dropped_and_named(name: str) -> None:
    """The line is written, without the value and with the key under `refused`."""
    assert refuse(event="connect", **{name: "sesame"}) == {"event": "connect", "refused": [name]}


@pytest.mark.parametrize(
    "name", ["data_bytes", "token_user", "client", "user", "channel", "code", "reason", "keyboard"]
)
def test_what_only_speaks_of_secrets_is_kept(name: str) -> None:
    """A number of bytes is no payload."""
    assert refuse(**{name: 5}) == {name: 5}


def test_secrets_inside_are_dropped_too() -> None:
    """Headers are often logged whole."""
    event = refuse(headers={"X-Api-Key": "sesame", "Host": "a"}, requests=[{"token": "sesame", "id": 1}])
    assert event == {
        "headers": {"Host": "a"},
        "requests": [{"id": 1}],
        "refused": ["headers.X-Api-Key", "requests.token"],
    }


def test_bytes_are_shown_by_their_number() -> None:
    """Bytes are a payload more often than not."""
    assert refuse(frame=b"sesame", parts=[memoryview(b"abc")]) == {
        "frame": "<6 bytes>",
        "parts": ["<3 bytes>"],
    }


def test_a_traceback_is_no_secret() -> None:
    """Although `exc_info` ends in a refused word."""
    info = (ValueError, ValueError("x"), None)
    assert refuse(exc_info=info) == {"exc_info": info}


nested = st.recursive(
    st.just("sesame") | st.just(b"sesame"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("token"), inner),
    max_leaves=8,
)


@given(nested)
def test_no_depth_hides_a_secret(value: object) -> None:
    """Below the deepest level looked at nothing is shown."""
    assert "sesame" not in str(refuse(token=value))
    if isinstance(value, dict):
        assert "sesame" not in str(refuse(fields=value))
