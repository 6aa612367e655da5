"""The opening handshake against RFC 6455, section 4.2, and against another implementation's client."""

import pytest
from websockets.client import ClientProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from node.door.head import Head, parse_head
from node.transports.refusal import Refusal
from node.transports.websocket_handshake import accept, choose_subprotocol

_KNOWN = ("centrifuge-protobuf", "centrifuge-json")
_FIELDS = {
    "Host": "a",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request(method: str = "GET", **changes: str | None) -> Head:
    """A handshake with some fields changed, or left out where None; `_` stands for `-`."""
    fields = _FIELDS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return parse_head(f"{method} /connection/websocket HTTP/1.1\r\n{lines}\r\n".encode())


def test_the_example_of_the_rfc_is_answered_as_printed_there() -> None:
    """Section 1.3 gives a key and the answer to it."""
    assert accept(request(), "") == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "upgrade"},
        {"Upgrade": "h2c, websocket"},
    ],
)
def test_tokens_are_compared_without_case_and_in_lists(changes: dict[str, str]) -> None:
    """Browsers and proxies write these headers in several ways."""
    assert accept(request(**changes), "").startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("changes", "status", "fields"),
    [
        ({"method": "POST"}, 405, "Allow: GET\r\n"),
        ({"Upgrade": None}, 426, "Upgrade: websocket\r\n"),
        ({"Connection": "close"}, 426, "Upgrade: websocket\r\n"),
        ({"Sec_WebSocket_Version": "8"}, 426, "Sec-WebSocket-Version: 13\r\n"),
        ({"Sec_WebSocket_Version": None}, 426, "Sec-WebSocket-Version: 13\r\n"),
        ({"Sec_WebSocket_Key": None}, 400, ""),
        ({"Sec_WebSocket_Key": "dG9vIHNob3J0"}, 400, ""),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="}, 400, ""),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub2 5jZQ="}, 400, ""),
    ],
)
def test_what_is_no_handshake_is_told_what_is_missing(
    changes: dict[str, str | None], status: int, fields: str
) -> None:
    """Each requirement of section 4.2.1 has its status, and the header that helps where there is one."""
    with pytest.raises(Refusal) as caught:
        accept(request(**changes), "")  # type: ignore[arg-type]
    assert (caught.value.status, caught.value.fields) == (status, fields)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("centrifuge-protobuf", "centrifuge-protobuf"),
        ("centrifuge-json, centrifuge-protobuf", "centrifuge-protobuf"),
        ("chat,centrifuge-json", "centrifuge-json"),
        ("chat", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_only_what_was_offered_is_chosen(offered: str | None, chosen: str) -> None:
    """An empty or unknown offer is answered with none: a client fails on what it did not ask for."""
    assert choose_subprotocol(request(Sec_WebSocket_Protocol=offered), _KNOWN) == chosen


def test_a_client_of_another_make_accepts_the_answer() -> None:
    """Its own random key, and a subprotocol it offered."""
    client = ClientProtocol(
        parse_uri("ws://localhost/connection/websocket"), subprotocols=[Subprotocol("centrifuge-protobuf")]
    )
    client.send_request(client.connect())
    head = parse_head(b"".join(client.data_to_send()))
    client.receive_data(accept(head, choose_subprotocol(head, _KNOWN)))
    assert client.handshake_exc is None
    assert client.subprotocol == "centrifuge-protobuf"
