"""Which pages may connect."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.access.origins import OriginCheck


@pytest.mark.parametrize(
    ("allowed", "origin", "host", "allows"),
    [
        ([], None, "example.com", True),
        ([], "https://evil.com", "example.com", False),
        (["*"], "https://evil.com", "example.com", True),
        (["*"], "null", None, True),
        (["*"], "nonsense", None, True),
        # The page came from where it connects to.
        ([], "https://example.com", "example.com", True),
        ([], "http://example.com:8000", "example.com:8000", True),
        ([], "http://example.com:8000", "example.com", False),
        ([], "https://example.com", "example.com:443", True),
        ([], "http://example.com:80", "example.com", True),
        ([], "https://Example.COM", "eXample.com", True),
        ([], "http://[::1]:8000", "[::1]:8000", True),
        ([], "https://example.com", "example.com.evil.com", False),
        ([], "https://example.com", "", False),
        ([], "https://example.com", None, False),
        # Named.
        (["https://example.com"], "https://example.com", None, True),
        (["https://example.com"], "https://example.com:443", None, True),
        (["https://example.com:443"], "https://example.com", None, True),
        (["https://example.com"], "https://example.com:444", None, False),
        (["https://example.com"], "http://example.com", None, False),
        (["HTTPS://Example.com"], "https://example.COM", None, True),
        (["https://example.com"], "https://example.com.evil.com", None, False),
        (["https://example.com"], "https://evilexample.com", None, False),
        (["https://example.com"], "https://examplescom", None, False),
        (["https://example.com"], "https://example.com/path", None, False),
        (["https://example.com"], "https://user@example.com", None, False),
        (["https://example.com"], "https://example.com\n", None, False),
        (["https://example.com"], "https://example.com https://evil.com", None, False),
        (["http://[::1]:8000"], "http://[::1]:8000", None, True),
        # With wildcards.
        (["https://*.example.com"], "https://a.example.com", None, True),
        (["https://*.example.com"], "https://a.b.example.com", None, True),
        (["https://*.example.com"], "https://example.com", None, False),
        (["https://*.example.com"], "https://evil.com/.example.com", None, False),
        (["https://*.example.com"], "https://evil.com#.example.com", None, False),
        (["https://*.example.com"], "https://a.example.com:8443", None, False),
        (["http://localhost:*"], "http://localhost:5173", None, True),
        (["http://localhost:*"], "http://localhost", None, True),
        (["http://localhost:*"], "http://localhost:1@evil.com", None, False),
        (["*://example.com"], "http://example.com", None, True),
        (["*://example.com"], "https://example.com", None, True),
        (["*://example.com"], "https://example.com:8443", None, False),
        (["*://*:*"], "https://anything.at.all:1", None, True),
        (["*://*:*"], "null", None, False),
        (["capacitor://localhost"], "capacitor://localhost", None, True),
        (["null"], "null", None, True),
        ([], "null", "null", False),
        ([], "", "", False),
    ],
)
def test_origins(allowed: list[str], origin: str | None, host: str | None, allows: bool) -> None:
    """No Origin, the same origin, a named one; scheme, host and port all count (RFC 6454 section 5)."""
    assert OriginCheck(allowed).allows(origin, host) is allows


@pytest.mark.parametrize(
    "pattern", ["example.com", "https://", "https://a/", "https://a:b", "", "https://a b"]
)
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    """It would silently match nothing."""
    with pytest.raises(ValueError, match="allowed_origins"):
        OriginCheck([pattern])


def test_a_long_origin_costs_nothing() -> None:
    """No host name is that long, and several wildcards would make matching it slow."""
    check = OriginCheck(["https://*a*a*a*a.example.com"])
    assert not check.allows("https://" + "a" * 15_000, None)


@settings(deadline=None)
@given(
    st.text(max_size=40) | st.from_regex(r"https?://[a-z.*\[\]:@/0-9]{0,30}", fullmatch=True),
    st.none() | st.text(max_size=40),
)
def test_garbage_is_refused_and_nothing_else(origin: str, host: str | None) -> None:
    """Whatever a client sends in its headers, the answer is yes or no; and yes only for the same host."""
    if OriginCheck(["https://allowed.example"]).allows(origin, host):
        assert "allowed.example" in origin.lower() or (
            host is not None and host.lower().split(":")[0] in origin.lower()
        )
