"""Responses written by hand, read by h11."""

from email.utils import parsedate_to_datetime

import h11

from node.door.response import response


def read(raw: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return head, body


def test_a_response_says_what_it_was_given() -> None:
    """Status, type, length, further fields and body, with the date."""
    head, body = read(
        response(405, b"no\n", content_type="application/json", fields="Allow: POST\r\n", connection="close")
    )
    headers = {name.decode(): value.decode() for name, value in head.headers}
    assert parsedate_to_datetime(headers.pop("date")).tzinfo is not None
    assert (head.status_code, body) == (405, b"no\n")
    assert headers == {
        "content-length": "3",
        "content-type": "application/json",
        "allow": "POST",
        "connection": "close",
    }


def test_no_content_has_no_length() -> None:
    """RFC 9110, 8.6."""
    head, body = read(response(204))
    assert (head.status_code, body) == (204, b"")
    assert b"content-length" not in dict(head.headers)


def test_an_empty_body_has_a_length_and_no_type() -> None:
    """The client need not guess where the response ends."""
    head, body = read(response(401))
    assert (body, dict(head.headers)[b"content-length"]) == (b"", b"0")
    assert b"content-type" not in dict(head.headers)


def test_an_answer_to_head_has_the_length_of_its_body() -> None:
    """RFC 9110, 9.3.2."""
    raw = response(200, b"12345", head_only=True)
    head, body = read(raw, "HEAD")
    assert (body, dict(head.headers)[b"content-length"]) == (b"", b"5")
    assert raw.endswith(b"\r\n\r\n")
