"""The demo page at `/`: one document for the browser, made of the files beside this one.

Style and scripts are put into the document, so that the door has one thing to serve; the policy that goes
with it lets the browser run exactly these and load nothing from elsewhere.
"""

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

_SCRIPTS = ("client.js", "cluster.js", "app.js")
_PLACE = re.compile(r"<!-- (STYLE|SCRIPT|PEERS) -->")


class Page(NamedTuple):
    """What a browser gets.

    Attributes:
        body: the document, UTF-8.
        headers: name and value, those that belong to this document.
    """

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def demo_page(peers: Sequence[str] = ()) -> Page:
    """Put the page together.

    Args:
        peers: addresses of other nodes' pages, shown as links; e.g. `http://127.0.0.1:8001`.
    """
    style = _read("style.css")
    script = "".join(_read(name) for name in _SCRIPTS)
    parts = {
        "STYLE": f"<style>{style}</style>",
        "SCRIPT": f"<script>{script}</script>",
        "PEERS": f'<meta name="peers" content="{html.escape(" ".join(peers))}">',
    }
    document = _PLACE.sub(lambda place: parts[place[1]], _read("index.html"))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        # The page's own node; `ws:` because not every browser counts its WebSocket as 'self'.
        "connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"cache-control", b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    )
    return Page(document.encode(), headers)


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
