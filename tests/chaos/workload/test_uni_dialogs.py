"""Tests of /connection/uni_websocket and /connection/uni_http_stream, with bytes as nodes send them."""

import json

import pytest
from websockets.frames import Frame, Opcode

from chaos.history import Position
from chaos.workload import websocket_frames
from chaos.workload.dialog import Dialog, Opening, Over
from chaos.workload.uni_http_stream import UniHttpStreamDialog
from chaos.workload.uni_websocket import UniWebSocketDialog
from tests.chaos.workload.listening import Heard

WANTED = {"history:1": Position("e", 7), "plain:1": None}
SUBS = {"history:1": {"recover": True, "epoch": "e", "offset": 7}, "plain:1": {}}
ACCEPTED = f"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: {websocket_frames._ACCEPT}\r\n\r\n".encode()
STREAM = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
GRANTED = {
    "epoch": "e",
    "offset": 7,
    "recovered": True,
    "publications": [{"data": {"id": "p-8"}, "offset": 8}],
}
PUSHES = [
    json.dumps(push).encode()
    for push in (
        {"connect": {"client": "c", "subs": {"history:1": GRANTED, "plain:1": {}}}},
        {},
        {"channel": "history:1", "pub": {"data": {"id": "p-9"}, "offset": 9}},
    )
]
FACTS = [
    ("welcomed",),
    ("subscribed", "history:1", "e", 7, True),
    ("delivered", "history:1", "p-8", 8),
    ("subscribed", "plain:1", "", 0, None),
    ("delivered", "history:1", "p-9", 9),
]
GOODBYE = b'{"disconnect":{"code":3001,"reason":"shutdown"}}'


def text(data: bytes) -> bytes:
    return Frame(Opcode.TEXT, data).serialize(mask=False)


def test_uni_websocket_connects_with_its_first_message() -> None:
    """The request names channels and positions; pushes are read, pings among them are not answered."""
    heard = Heard()
    dialog = UniWebSocketDialog(Opening("h:1", WANTED), heard)
    dialog.opening()
    sent = dialog.receive(ACCEPTED)
    assert json.loads(sent[sent.index(b"{") :])["subs"] == SUBS
    assert dialog.receive(b"".join(map(text, PUSHES))) == b""
    assert heard.facts == FACTS
    with pytest.raises(Over) as over:
        dialog.receive(text(GOODBYE))
    assert over.value.code == 3001


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_uni_http_stream_reads_lines_however_they_are_cut(step: int) -> None:
    """The connect request is the body; every line of the answer is a push."""
    heard = Heard()
    dialog = UniHttpStreamDialog(Opening("h:1", WANTED), heard)
    head, _, body = dialog.opening().partition(b"\r\n\r\n")
    assert head.startswith(b"POST /connection/uni_http_stream ")
    assert json.loads(body)["subs"] == SUBS
    data = STREAM + b"".join(push + b"\n" for push in PUSHES)
    for at in range(0, len(data), step):
        assert dialog.receive(data[at : at + step]) == b""
    assert heard.facts == FACTS
    with pytest.raises(Over, match="shutdown"):
        dialog.receive(GOODBYE + b"\n")


def test_uni_http_stream_takes_a_status_for_a_failure() -> None:
    """503 with Retry-After is how a node that drains refuses it."""
    dialog = UniHttpStreamDialog(Opening("h:1", WANTED), Heard())
    with pytest.raises(Over, match="HTTP 503") as over:
        dialog.receive(b"HTTP/1.1 503 x\r\nRetry-After: 2\r\n\r\n")
    assert over.value.retry_s == 2.0


@pytest.mark.parametrize("kind", [UniWebSocketDialog, UniHttpStreamDialog])
def test_subscribing_again_needs_a_new_connection(kind: type[Dialog]) -> None:
    """These clients cannot say anything once they are connected."""
    dialog = kind(Opening("h:1", WANTED), Heard())  # type: ignore[call-arg]
    assert dialog.subscribe("history:1", None) is None
