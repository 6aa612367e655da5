"""HTTP/1.1 responses of the door itself: short, complete, written by hand. No connection is known here."""

from functools import lru_cache
from http import HTTPStatus
from time import time
from wsgiref.handlers import format_date_time

PLAIN_TEXT = "text/plain; charset=utf-8"


def response(
    status: int,
    body: bytes = b"",
    *,
    content_type: str = PLAIN_TEXT,
    fields: str = "",
    connection: str = "",
    head_only: bool = False,
) -> bytes:
    """One whole response.

    Args:
        status: the HTTP status.
        body: sent as it is, with its length.
        content_type: of the body; not sent where there is none.
        fields: further header lines, each with its CRLF.
        connection: the Connection header: "close", "keep-alive" (HTTP/1.0 needs to be told) or "" for none.
        head_only: the request was a HEAD: everything but the body is sent.
    """
    if body:
        fields = f"Content-Type: {content_type}\r\n{fields}"
    if connection:
        fields += f"Connection: {connection}\r\n"
    # RFC 9110, 8.6: a 204 must not have a Content-Length; there is never a body.
    length = f"Content-Length: {len(body)}\r\n" if status != HTTPStatus.NO_CONTENT else ""
    # RFC 9110, 6.6.1: an origin server that has a clock sends Date.
    head = f"{_status_line(status)}Date: {http_date(int(time()))}\r\n{length}{fields}\r\n"
    return head.encode("latin-1") if head_only else head.encode("latin-1") + body


@lru_cache(64)
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"


@lru_cache(1)
def http_date(now: int) -> str:
    """The Date field at a moment, Unix time in seconds."""
    return format_date_time(now)
