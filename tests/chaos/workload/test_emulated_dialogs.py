"""Tests of `chaos.workload.emulated`: what opens a stream, what goes beside it, and what is read."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from chaos.history import Position
from chaos.workload.dialog import Opening, Over
from chaos.workload.emulated import (
    EmulatedDialog,
    EmulatedSseDialog,
    HttpStreamDialog,
    HttpStreamProtobufDialog,
)
from chaos.workload.protobuf_commands import cut, delimited
from protos import client_pb2
from tests.chaos.workload.listening import Heard

WANTED = {"history:1": Position("e", 7), "plain:1": None}
STREAM = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
CONNECTED = {"id": 1, "connect": {"client": "c", "session": "s", "node": "n"}}
MISSED = {"data": {"id": "p-8"}, "offset": 8}
REPLIES = [
    {},
    {"id": 2, "subscribe": {"epoch": "e", "offset": 7, "recovered": True, "publications": [MISSED]}},
    {"id": 3, "subscribe": {}},
    {"push": {"channel": "history:1", "pub": {"data": {"id": "p-9"}, "offset": 9}}},
]
FACTS = [
    ("welcomed",),
    ("subscribed", "history:1", "e", 7, True),
    ("delivered", "history:1", "p-8", 8),
    ("subscribed", "plain:1", "", 0, None),
    ("delivered", "history:1", "p-9", 9),
]


def line(reply: object) -> bytes:
    return json.dumps(reply).encode() + b"\n"


def event(reply: object) -> bytes:
    return b"data: " + json.dumps(reply).encode() + b"\n\n"


def fed(dialog: EmulatedDialog, data: bytes, step: int) -> list[dict[str, str]]:
    """The requests that a dialog wants to be made while it reads, so many bytes at a time."""
    sent = [dialog.receive(data[at : at + step]) for at in range(0, len(data), step)]
    return [json.loads(body) for body in sent if body]


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize(("kind", "form"), [(HttpStreamDialog, line), (EmulatedSseDialog, event)])
def test_commands_go_beside_the_stream(kind: type[EmulatedDialog], form: type, step: int) -> None:
    """Only the connect opens it; subscribes and pongs name the session and the node that holds it."""
    heard = Heard()
    dialog = kind(Opening("h:1", WANTED), heard)
    dialog.opening()
    assert dialog.content_type == "application/json"
    [first] = fed(dialog, STREAM + form(CONNECTED), step)
    assert (first["session"], first["node"]) == ("s", "n")
    subscribes = [json.loads(text) for text in first["data"].split("\n")]
    assert [each["subscribe"]["channel"] for each in subscribes] == ["history:1", "plain:1"]
    assert subscribes[0]["subscribe"]["offset"] == 7
    [pong] = fed(dialog, b"".join(map(form, REPLIES)), step)
    assert pong == {"session": "s", "node": "n", "data": "{}"}
    assert heard.facts == FACTS


def test_the_connect_is_a_body_or_a_part_of_the_address() -> None:
    """As the SDKs send it to each of the two."""
    head, _, body = HttpStreamDialog(Opening("h:1", WANTED), Heard()).opening().partition(b"\r\n\r\n")
    assert head.startswith(b"POST /connection/http_stream ")
    assert json.loads(body) == {"id": 1, "connect": {"name": "chaos"}}
    sent = EmulatedSseDialog(Opening("h:1", WANTED), Heard()).opening().decode()
    target = urlsplit(sent.split(" ")[1])
    assert target.path == "/connection/sse"
    assert json.loads(parse_qs(target.query)["cf_connect"][0])["id"] == 1


@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_protobuf_is_cut_wherever_the_network_cuts(step: int) -> None:
    """Replies behind their lengths, an empty one is a ping; requests carry the frame as bytes."""
    heard = Heard()
    dialog = HttpStreamProtobufDialog(Opening("h:1", WANTED), heard)
    assert b"Content-Type: application/octet-stream" in dialog.opening()
    connect = client_pb2.ConnectResult(client="c", session="s", node="n")
    missed = client_pb2.Publication(data=b'{"id":"p-8"}', offset=8)
    result = client_pb2.SubscribeResult(epoch="e", offset=7, recovered=True, publications=[missed])
    live = client_pb2.Publication(data=b'{"id":"p-9"}', offset=9)
    replies = [
        client_pb2.Reply(id=1, connect=connect),
        client_pb2.Reply(id=2, subscribe=result),
        client_pb2.Reply(id=3, subscribe=client_pb2.SubscribeResult()),
        client_pb2.Reply(push=client_pb2.Push(channel="history:1", pub=live)),
    ]
    sent = []
    for data in (STREAM, *map(delimited, replies), b"\0"):
        bodies = [dialog.receive(data[at : at + step]) for at in range(0, len(data), step)]
        sent += [client_pb2.EmulationRequest.FromString(body) for body in bodies if body]
    assert heard.facts == FACTS
    subscribes, pong = sent
    assert (subscribes.session, subscribes.node, pong.data) == ("s", "n", b"\0")
    commands = [client_pb2.Command.FromString(body) for body in cut(subscribes.data)[0]]
    assert [command.subscribe.channel for command in commands] == ["history:1", "plain:1"]


@pytest.mark.parametrize("kind", [HttpStreamDialog, EmulatedSseDialog])
def test_a_stream_ends_with_its_reason(kind: type[EmulatedDialog]) -> None:
    """A disconnect has its code, a refusal its time to come back, nonsense is the end."""
    form = line if kind is HttpStreamDialog else event
    goodbye = form({"push": {"disconnect": {"code": 3001, "reason": "shutdown"}}})
    with pytest.raises(Over) as over:
        kind(Opening("h:1", WANTED), Heard()).receive(STREAM + goodbye)
    assert (over.value.code, over.value.reason) == (3001, "shutdown")
    with pytest.raises(Over, match="HTTP 503") as over:
        kind(Opening("h:1", WANTED), Heard()).receive(b"HTTP/1.1 503 x\r\nRetry-After: 2\r\n\r\n")
    assert over.value.retry_s == 2.0
    with pytest.raises(Over, match="not understood"):
        kind(Opening("h:1", WANTED), Heard()).receive(STREAM + form({"id": "one"}))


def test_subscribing_again_is_one_more_request() -> None:
    """After code 2500 the stream stays."""
    dialog = HttpStreamDialog(Opening("h:1", {}), Heard())
    dialog.receive(STREAM + line(CONNECTED))
    body = dialog.subscribe("history:1", Position("e", 9))
    assert body is not None
    assert json.loads(json.loads(body)["data"])["subscribe"]["offset"] == 9
