"""One HTTP/1.1 request head: bytes in, a Head or a HeadError out.

Rules of this file: no socket, clock or log; validation is never lazy, reading may be; what is not exactly
RFC 9112 is refused instead of guessed at, since two readings of one request are how requests are smuggled.
A head is never answered from here: a HeadError carries the status its sender is told before the connection
is closed. Details name the rule that was broken and never repeat what was sent.
"""

import re
from urllib.parse import parse_qsl, unquote_to_bytes

from msgspec import Struct

# RFC 9110, 5.6.2 (token) and 5.5 (field-vchar, obs-text, SP, HTAB). Possessive: nothing makes them backtrack.
_TCHARS = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = r"[\t -~\x80-\xff]*+"
_LINE = rf"({_TCHARS}) ([!-~]++) HTTP/(\d\.\d)\r\n"
_FIELDS = rf"(?:{_TCHARS}:{_VALUE}\r\n)*+"
_HEAD = re.compile(rf"{_LINE}({_FIELDS})\r\n")
_FIELD = re.compile(r"([^:]++):[ \t]*+([^\r]*+)\r\n")

_REQUEST_LINE = re.compile(_LINE)
_NAME = re.compile(_TCHARS)
_BAD_VALUE = re.compile(r"[^\t -~\x80-\xff]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 9110, 7.2: uri-host [ ":" port ]; which host it is matters to nobody here.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9\-._~!$&'()*+,;=%]++)(?::[0-9]*+)?")
# RFC 9112, 3.2.2: what proxies send.
_ABSOLUTE = re.compile(r"https?://[^/?]++", re.IGNORECASE)

# RFC 9113, 3.4: what an HTTP/2 client that knows begins with. The version is checked nowhere else.
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
# More digits than any body has; the limits on bodies are far below.
_CONTENT_LENGTH_DIGITS_MAX = 15
_SINGLE = ("host", "content-length", "transfer-encoding")


class HeadError(Exception):
    """What was sent is not a request this node reads; answer `status` and close.

    Args:
        status: the HTTP status for the answer.
        detail: which rule was broken; safe to log and to send back.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


# A frozen dataclass takes a microsecond to build, a tenth of reading a head. Nothing here can be a cycle.
class Head(Struct, frozen=True, gc=False):
    """A request's line and header fields; every part of it has been checked.

    Attributes:
        method: as sent; methods are case-sensitive.
        target: the request target as sent.
        path: percent-decoded; "*" for `OPTIONS *` and for the HTTP/2 preface.
        query_string: what follows "?", as sent.
        version: "1.0", "1.1" or, for the HTTP/2 preface alone, "2.0".
        headers: names in lower case; fields sent several times are joined with ", ".
        content_length: bytes of the body that follows; None if no length was given.
        chunked: the body has the chunked transfer coding instead.
        keep_alive: the client wants to send another request on this connection.
        raw: the head as it came, with its empty line.
    """

    method: str
    target: str
    path: str
    query_string: str
    version: str
    headers: dict[str, str]
    content_length: int | None
    chunked: bool
    keep_alive: bool
    raw: bytes

    def header(self, name: str) -> str:
        """A header's value, "" if absent.

        Args:
            name: in lower case.
        """
        return self.headers.get(name, "")

    def query(self, name: str) -> str:
        """The first value of a query parameter, "" if absent."""
        return next(iter(self.query_all(name)), "")

    def query_all(self, name: str) -> list[str]:
        """All values of a query parameter, in the order they were sent."""
        if not self.query_string:
            return []
        return [value for key, value in parse_qsl(self.query_string, keep_blank_values=True) if key == name]


def take_head(received: bytearray, bytes_max: int) -> Head | None:
    """Take the first head off the front of what was received.

    Args:
        received: bytes of the connection not used yet; loses the head when there is a whole one.
        bytes_max: how long a head may be, its empty line included.

    Returns:
        None while more bytes are needed.

    Raises:
        HeadError: what came can be no head whatever follows; `received` is of no use any more.
    """
    # RFC 9112, 2.2: empty lines before the request line are ignored.
    while received.startswith(b"\r\n"):
        del received[:2]
    end = received.find(b"\r\n\r\n") + 4
    if 4 <= end <= bytes_max:
        raw = bytes(received[:end])
        del received[:end]
        return parse_head(raw)
    if received and received != b"\r":
        _refuse_early(received, bytes_max)
    return None


def parse_head(raw: bytes) -> Head:
    """Read one whole head.

    Args:
        raw: from the request line to the empty line, both included.

    Raises:
        HeadError: it is not a head, or one that this node does not read.
    """
    text = raw.decode("latin-1")
    match = _HEAD.fullmatch(text)
    if match is None:
        raise _diagnosis(text)
    method, target, version, fields_text = match.groups()
    if version not in ("1.1", "1.0"):
        if raw == _HTTP2_PREFACE:
            return Head("PRI", "*", "*", "", "2.0", {}, None, chunked=False, keep_alive=False, raw=raw)
        raise HeadError(505, "only HTTP/1.1, HTTP/1.0 and HTTP/2 are spoken here")
    headers = _headers(fields_text)
    chunked, content_length = _framing(headers, version)
    host = headers.get("host")
    if host is None:
        # RFC 9112, 3.2: a server must refuse an HTTP/1.1 request that lacks Host.
        if version == "1.1":
            raise HeadError(400, "the Host header is missing")
    elif _HOST.fullmatch(host) is None:
        raise HeadError(400, "the Host header is not a host and a port")
    path, query_string = _path_and_query(method, target)
    keep_alive = version == "1.1"
    connection = headers.get("connection")
    if connection is not None:
        options = {option.strip() for option in connection.lower().split(",")}
        # RFC 9112, 9.3.
        keep_alive = "close" not in options and (keep_alive or "keep-alive" in options)
    return Head(
        method, target, path, query_string, version, headers, content_length, chunked, keep_alive, raw
    )


def _headers(fields_text: str) -> dict[str, str]:
    fields = _FIELD.findall(fields_text)
    headers = {name.lower(): value.rstrip(" \t") for name, value in fields}
    if len(headers) == len(fields):
        return headers
    headers = {}
    for name, value in fields:
        key = name.lower()
        stripped = value.rstrip(" \t")
        if key not in headers:
            headers[key] = stripped
        elif key in _SINGLE:
            # RFC 9112, 3.2 and 6.3: also where the values agree, since the next reader may not look.
            raise HeadError(400, f"the {key} header was sent twice")
        else:
            headers[key] += (", " if key != "cookie" else "; ") + stripped
    return headers


def _framing(headers: dict[str, str], version: str) -> tuple[bool, int | None]:
    """How the body is framed: (chunked, content_length)."""
    length = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if coding is not None:
        # RFC 9112, 6.1 and 6.3: such a message ought to be handled as an error: so requests are smuggled.
        if length is not None:
            raise HeadError(400, "Content-Length and Transfer-Encoding exclude each other")
        if version == "1.0":
            raise HeadError(400, "HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != "chunked":
            raise HeadError(501, "the only transfer coding understood is chunked")
        return True, None
    if length is None:
        return False, None
    if not (length.isascii() and length.isdigit() and len(length) <= _CONTENT_LENGTH_DIGITS_MAX):
        raise HeadError(400, "Content-Length is not a number of bytes")
    return False, int(length)


def _path_and_query(method: str, target: str) -> tuple[str, str]:
    """The decoded path and the query of a request target (RFC 9112, 3.2)."""
    origin = target
    if not target.startswith("/"):
        if target == "*":
            if method != "OPTIONS":
                raise HeadError(400, "the target * belongs to OPTIONS")
            return "*", ""
        if method == "CONNECT":
            raise HeadError(501, "this is no proxy: CONNECT is not served")
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            raise HeadError(400, "the request target is neither a path nor an absolute URI")
        origin = target[absolute.end() :]
        if not origin.startswith("/"):
            origin = "/" + origin
    if "#" in origin:
        raise HeadError(400, "the request target has a fragment")
    path, _, query_string = origin.partition("?")
    if "%" in origin:
        if _BAD_ESCAPE.search(origin) is not None:
            raise HeadError(400, "a % in the request target is not followed by two hex digits")
        try:
            path = unquote_to_bytes(path).decode()
            unquote_to_bytes(query_string).decode()
        except UnicodeDecodeError:
            raise HeadError(400, "the request target is not UTF-8") from None
    return path, query_string


def _refuse_early(received: bytearray, bytes_max: int) -> None:
    """Raise if an incomplete head cannot become one, so that nobody waits for its end."""
    if _NAME.match(received[:1].decode("latin-1")) is None:
        raise HeadError(400, "this is no HTTP request")
    # RFC 9112, 2.2 lets a server accept a bare LF as the end of a line; proxies that do not would disagree.
    if received.count(b"\n") != received.count(b"\r\n"):
        raise HeadError(400, "a line ends with LF alone")
    if len(received) >= bytes_max:
        raise HeadError(431, f"the request head is longer than {bytes_max} bytes")


def _diagnosis(text: str) -> HeadError:
    """What is wrong with a head that does not match the grammar."""
    if text.count("\n") != text.count("\r\n") or text.count("\r") != text.count("\r\n"):
        return HeadError(400, "a line ends with CR or LF alone")
    if _REQUEST_LINE.match(text) is None:
        return HeadError(400, "the request line is not METHOD TARGET HTTP/1.1")
    for line in text.split("\r\n")[1:-2]:
        name, colon, value = line.partition(":")
        if line[0] in " \t":
            # RFC 9112, 5.2: obs-fold.
            return HeadError(400, "a header is folded over several lines")
        if not colon:
            return HeadError(400, "a header line has no colon")
        if name.rstrip(" \t") != name:
            # RFC 9112, 5.1.
            return HeadError(400, "there is whitespace between a header's name and its colon")
        if _NAME.fullmatch(name) is None:
            return HeadError(400, "a header's name has a character that is not allowed")
        if _BAD_VALUE.search(value) is not None:
            return HeadError(400, "a header's value has a control character")
    return HeadError(400, "the request head is malformed")
