"""Which web pages may connect. Pure.

Browsers send cookies and reach inside networks on behalf of any page, and a WebSocket or EventSource
is not held back by the same-origin policy: so the page's origin is checked here. Programs that are no
browsers send no Origin and pass. Source: RFC 6454 and RFC 6455 section 10.2.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from node.config.patterns import ORIGIN

_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
# RFC 6454 section 6.2: scheme, host and, unless it is the scheme's own, port.
_SENT = re.compile(
    r"(?P<scheme>[a-z][-a-z0-9+.]*)://(?P<host>\[[0-9a-f:.]+\]|[-a-z0-9._~%]+)(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_HOST = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[-a-z0-9._~%]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_REMEMBERED = 1024
# A host name has 253 characters at most (RFC 1035 section 2.3.4). Patterns with several `*` take time
# that grows with the square of the length, and anybody may send an Origin.
_ORIGIN_CHARS_MAX = 300


class OriginCheck:
    """The origins a configuration allows, compiled.

    Args:
        allowed_origins: `scheme://host[:port]` with `*` for any run of characters inside a part; "*"
            alone for every origin, "null" for pages without one. A scheme without a port means its own port.

    Raises:
        ValueError: an entry is none of these.
    """

    __slots__ = ("_all", "_matches", "_null", "_patterns")

    def __init__(self, allowed_origins: Sequence[str]) -> None:
        self._all = "*" in allowed_origins
        self._null = "null" in allowed_origins
        self._patterns = [_compile(origin) for origin in allowed_origins if origin not in {"*", "null"}]
        self._matches = lru_cache(_REMEMBERED)(self._match)

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a request may open a session.

        Args:
            origin: its Origin header, None if it has none.
            host: its Host header, None if it has none.
        """
        if origin is None or self._all:
            return True
        return len(origin) <= _ORIGIN_CHARS_MAX and self._matches(origin, host)

    def _match(self, origin: str, host: str | None) -> bool:
        if origin == "null":
            return self._null
        # RFC 6454 section 4: scheme and host are compared in lower case.
        parts = _SENT.fullmatch(origin.lower())
        if parts is None:
            return False
        default_port = _DEFAULT_PORTS.get(parts["scheme"], "")
        port = parts["port"] or default_port
        if host is not None and _same(host.lower(), parts["host"], port, default_port):
            return True
        whole = f"{parts['scheme']}://{parts['host']}:{port}"
        return any(pattern.fullmatch(whole) for pattern in self._patterns)


def _same(host_header: str, host: str, port: str, default_port: str) -> bool:
    # The Host header names no scheme. Behind a proxy that ends TLS ours would be the wrong one, so its
    # missing port is that of the Origin's scheme.
    parts = _HOST.fullmatch(host_header)
    return parts is not None and parts["host"] == host and (parts["port"] or default_port) == port


def _compile(origin: str) -> re.Pattern[str]:
    parts = ORIGIN.fullmatch(origin)
    if parts is None:
        raise ValueError("client.allowed_origins: expected scheme://host, scheme://host:port or *")
    scheme, host = parts["scheme"].lower(), parts["host"].lower()
    port = parts["port"] or _DEFAULT_PORTS.get(scheme)
    # No port and no scheme to have one: the scheme's own, whichever it turns out to be.
    port_pattern = "(?:80|443|)" if port is None else _wildcards(port, "[0-9]")
    return re.compile(
        f"{_wildcards(scheme, '[-a-z0-9+.]')}://{_wildcards(host, '[-a-z0-9._~%]')}:{port_pattern}", re.ASCII
    )


def _wildcards(part: str, characters: str) -> str:
    return f"{characters}*".join(re.escape(piece) for piece in part.split("*"))
