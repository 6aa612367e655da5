"""Tests of `node.pages`."""

import base64
import hashlib
import re

import pytest

from node.pages import demo_page


def test_the_page_needs_nothing_else() -> None:
    """One document: no file beside it is asked for, and nothing from another host."""
    text = demo_page().body.decode()
    assert "<!-- STYLE" not in text
    assert "<!-- SCRIPT" not in text
    assert not re.search(r"<(script|img|iframe)[^>]+src=|@import|url\(|https?://", text)
    assert re.findall(r'<link rel="(\w+)" href="(data:),">', text) == [("icon", "data:")]


@pytest.mark.parametrize(("tag", "directive"), [("style", "style-src"), ("script", "script-src")])
def test_the_policy_allows_exactly_what_is_in_the_page(tag: str, directive: str) -> None:
    """A browser runs our script and style and no other, were one ever injected."""
    page = demo_page()
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    policy = dict(page.headers)[b"content-security-policy"].decode()
    assert f"{directive} 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_network_data_never_becomes_markup() -> None:
    """What others publish is written as text: the scripts use none of the ways to make HTML of it."""
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", str(demo_page().body)
    )


def test_peers_are_escaped() -> None:
    """Addresses of other nodes come from a config and cannot break the document."""
    body = demo_page(["http://a:1", '"><script>x']).body.decode()
    assert '<meta name="peers" content="http://a:1 &quot;&gt;&lt;script&gt;x">' in body
