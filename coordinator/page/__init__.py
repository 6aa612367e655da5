"""The operator's page at `/`: one document for the browser, made of the files beside this one.

The policy that goes with it lets the browser run exactly these scripts, and call nobody but this coordinator.
"""

import base64
import hashlib
import re
from importlib import resources

from coordinator.answers import Answer

_SCRIPTS = ("api.js", "page.js")
_PLACE = re.compile(r"<!-- (STYLE|SCRIPT) -->")


def operators_page() -> Answer:
    """Put the page together."""
    style = _read("style.css")
    script = "".join(_read(name) for name in _SCRIPTS)
    parts = {"STYLE": f"<style>{style}</style>", "SCRIPT": f"<script>{script}</script>"}
    document = _PLACE.sub(lambda place: parts[place[1]], _read("index.html"))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    fields = (
        ("content-security-policy", policy),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    )
    return Answer(200, document.encode(), "text/html; charset=utf-8", fields)


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
