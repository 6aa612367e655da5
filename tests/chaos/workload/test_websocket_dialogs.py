"""Tests of the dialogs over WebSocket: JSON, Protobuf and the plain form, with bytes as nodes send them."""

import json

import pytest
from websockets.frames import Frame, Opcode

from chaos.history import Position
from chaos.workload import websocket_frames
from chaos.workload.dialog import Opening, Over
from chaos.workload.plain_websocket import PlainWebSocketDialog
from chaos.workload.protobuf_commands import cut, delimited
from chaos.workload.websocket_dialog import WebSocketDialog
from chaos.workload.websocket_json import JsonDialog
from chaos.workload.websocket_protobuf import ProtobufDialog
from protos import client_pb2
from tests.chaos.workload.listening import Heard

WANTED = {"history:1": Position("e", 7), "plain:1": None}
BACK = [
    ("welcomed",),
    ("subscribed", "history:1", "e", 7, True),
    ("delivered", "history:1", "p-8", 8),
    ("subscribed", "plain:1", "", 0, None),
    ("delivered", "history:1", "p-9", 9),
    ("unsubscribed", "history:1", 2500),
]


def text(message: str) -> bytes:
    return Frame(Opcode.TEXT, message.encode()).serialize(mask=False)


def opened(kind: type[WebSocketDialog]) -> tuple[WebSocketDialog, Heard, bytes]:
    """A dialog whose upgrade was accepted, and what it said then."""
    heard = Heard()
    dialog = kind(Opening("h:1", WANTED), heard)
    assert dialog.opening().startswith(f"GET {kind.path} HTTP/1.1".encode())
    accepted = f"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: {websocket_frames._ACCEPT}\r\n\r\n".encode()
    assert dialog.receive(accepted[:20]) == b""
    return dialog, heard, dialog.receive(accepted[20:])


def unmasked(sent: bytes) -> list[bytes]:
    """The payloads of frames whose mask is zero: taken as if a server had sent them."""
    found, at = [], 0
    while at < len(sent):
        size, begin = sent[at + 1] & 0x7F, at + 2
        if size == 126:
            size, begin = int.from_bytes(sent[begin : begin + 2], "big"), begin + 2
        assert sent[begin : begin + 4] == bytes(4)
        found.append(sent[begin + 4 : begin + 4 + size])
        at = begin + 4 + size
    return found


def test_json_joins_and_reads_as_an_sdk_does() -> None:
    """Connect and subscribes go in one frame, with positions; what comes is told in order."""
    dialog, heard, sent = opened(JsonDialog)
    [message] = unmasked(sent)
    connect, first, second = [json.loads(line) for line in message.split(b"\n")]
    assert connect == {"id": 1, "connect": {"name": "chaos"}}
    assert first["subscribe"] == {
        "channel": "history:1",
        "positioned": True,
        "recoverable": True,
        "recover": True,
        "epoch": "e",
        "offset": 7,
    }
    assert "recover" not in second["subscribe"]
    publication = {"data": {"id": "p-8", "pad": "x"}, "offset": 8}
    result = {"epoch": "e", "offset": 7, "recovered": True, "publications": [publication]}
    replies = [
        {"id": 1, "connect": {"client": "c", "version": "v"}},
        {"id": 2, "subscribe": result},
        {"id": 3, "subscribe": {}},
        {"push": {"channel": "history:1", "pub": {"data": {"id": "p-9"}, "offset": 9}}},
        {"push": {"channel": "history:1", "unsubscribe": {"code": 2500, "reason": "insufficient state"}}},
    ]
    assert dialog.receive(text("\n".join(map(json.dumps, replies)))) == b""
    assert heard.facts == BACK


def test_protobuf_joins_and_reads_as_an_sdk_does() -> None:
    """The same in the other encoding."""
    dialog, heard, sent = opened(ProtobufDialog)
    connect, first, second = [client_pb2.Command.FromString(body) for body in cut(unmasked(sent)[0])[0]]
    assert connect.connect.name == "chaos"
    assert (first.subscribe.recover, first.subscribe.epoch, first.subscribe.offset) == (True, "e", 7)
    assert not second.subscribe.recover
    missed = client_pb2.Publication(data=b'{"id":"p-8"}', offset=8)
    result = client_pb2.SubscribeResult(epoch="e", offset=7, recovered=True, publications=[missed])
    push = client_pb2.Push(channel="history:1", pub=client_pb2.Publication(data=b'{"id":"p-9"}', offset=9))
    ended = client_pb2.Push(channel="history:1", unsubscribe=client_pb2.Unsubscribe(code=2500, reason="x"))
    replies = [
        client_pb2.Reply(id=1, connect=client_pb2.ConnectResult(client="c")),
        client_pb2.Reply(id=2, subscribe=result),
        client_pb2.Reply(id=3, subscribe=client_pb2.SubscribeResult()),
        client_pb2.Reply(push=push),
        client_pb2.Reply(push=ended),
    ]
    data = b"".join(delimited(reply) for reply in replies)
    assert dialog.receive(Frame(Opcode.BINARY, data).serialize(mask=False)) == b""
    assert heard.facts == BACK
    assert unmasked(dialog.receive(Frame(Opcode.BINARY, b"\0").serialize(mask=False))) == [b"\0"]


def test_the_plain_form_joins_and_reads_as_people_do() -> None:
    """One message per frame, both ways."""
    dialog, heard, sent = opened(PlainWebSocketDialog)
    assert [json.loads(message) for message in unmasked(sent)] == [
        {"type": "subscribe", "channel": "history:1", "recover": {"epoch": "e", "offset": 7}},
        {"type": "subscribe", "channel": "plain:1"},
    ]
    messages = [
        '{"type":"connected","client":"c"}',
        '{"type":"subscribed","channel":"history:1","epoch":"e","offset":7,"recovered":true}',
        '{"type":"publication","channel":"history:1","data":{"id":"p-8"},"offset":8}',
        '{"type":"subscribed","channel":"plain:1"}',
        '{"type":"publication","channel":"history:1","data":{"id":"p-9"},"offset":9}',
        '{"type":"unsubscribed","channel":"history:1","code":2500,"reason":"insufficient state"}',
        '{"type":"error","channel":"plain:1","code":100,"message":"internal server error"}',
    ]
    dialog.receive(b"".join(map(text, messages)))
    assert heard.facts == [*BACK, ("refused", "plain:1", 100, "internal server error")]


@pytest.mark.parametrize("kind", [JsonDialog, ProtobufDialog, PlainWebSocketDialog])
def test_pings_are_answered_and_the_end_has_a_code(kind: type[WebSocketDialog]) -> None:
    """A native ping gets its pong; a close frame says why the session ended."""
    dialog, _, _ = opened(kind)
    assert unmasked(dialog.receive(Frame(Opcode.PING, b"p").serialize(mask=False))) == [b"p"]
    with pytest.raises(Over) as over:
        dialog.receive(Frame(Opcode.CLOSE, b"\x0b\xb9shutdown").serialize(mask=False))
    assert (over.value.code, over.value.reason) == (3001, "shutdown")


def test_json_answers_pings_of_the_protocol() -> None:
    """An empty reply is a ping, an empty command its pong (protocol reference, section 1)."""
    dialog, _, _ = opened(JsonDialog)
    assert unmasked(dialog.receive(text("{}"))) == [b"{}"]


def test_json_can_subscribe_again_on_the_same_connection() -> None:
    """After code 2500 an SDK asks again with its position, and hears the answer."""
    dialog, heard, _ = opened(JsonDialog)
    again = dialog.subscribe("history:1", Position("e", 9))
    assert again is not None
    asked = json.loads(unmasked(again)[0])
    dialog.receive(text(json.dumps({"id": asked["id"], "subscribe": {"epoch": "f", "offset": 3}})))
    assert heard.facts == [("subscribed", "history:1", "f", 3, False)]


def test_a_refused_upgrade_says_when_to_come_back() -> None:
    """A draining node answers 503 with Retry-After: a failure with its time to wait."""
    dialog = JsonDialog(Opening("h:1", WANTED), Heard())
    with pytest.raises(Over) as over:
        dialog.receive(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 4\r\nContent-Length: 0\r\n\r\n")
    assert (over.value.code, over.value.retry_s) == (0, 4.0)


@pytest.mark.parametrize("noise", [text('{"push":{"channel":1}}'), text("nonsense"), b"\x81\x80"])
def test_what_cannot_be_understood_ends_the_connection(noise: bytes) -> None:
    """The judge does not guess: bytes that mean nothing are the end, with their reason."""
    dialog, _, _ = opened(JsonDialog)
    with pytest.raises(Over, match="not understood"):
        dialog.receive(noise)
