"""The server API's key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.access.api_key import ApiKeyCheck
from node.config.options import HttpApiOptions

CHECK = ApiKeyCheck(HttpApiOptions(key="sesame"))


@pytest.mark.parametrize(
    ("x_api_key", "authorization", "query", "allows"),
    [
        (None, None, None, False),
        ("sesame", None, None, True),
        ("Sesame", None, None, False),
        ("", None, None, False),
        ("sesam", None, None, False),
        ("sesame ", None, None, False),
        ("sésame", None, None, False),
        ("\udcff", None, None, False),
        (None, "apikey sesame", None, True),
        (None, "ApiKey   sesame ", None, True),
        (None, "Bearer sesame", None, False),
        (None, "sesame", None, False),
        (None, "apikey", None, False),
        (None, None, "sesame", True),
        (None, None, "", False),
        (None, "Basic xyz", "sesame", True),
        # A given X-API-Key decides alone.
        ("wrong", "apikey sesame", "sesame", False),
    ],
)
def test_where_a_key_may_stand(
    x_api_key: str | None, authorization: str | None, query: str | None, allows: bool
) -> None:
    """X-API-Key, else Authorization, else the query."""
    assert CHECK.allows(x_api_key, authorization, query) is allows


@pytest.mark.parametrize("sent", [None, "", "sesame"])
def test_no_key_configured_refuses_everybody(sent: str | None) -> None:
    """An empty key is no key."""
    assert not ApiKeyCheck(HttpApiOptions()).allows(sent, f"apikey {sent}", sent)


def test_insecure_lets_everybody_in() -> None:
    """For development."""
    assert ApiKeyCheck(HttpApiOptions(key="sesame", insecure=True)).allows(None)


@given(st.none() | st.text(), st.none() | st.text(), st.none() | st.text())
def test_garbage_is_refused(x_api_key: str | None, authorization: str | None, query: str | None) -> None:
    """Whatever the headers hold, the answer is no, without an exception."""
    assert not CHECK.allows(x_api_key, authorization, query)
