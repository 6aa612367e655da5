"""Tests of the dialogs that call `Subscribe` of the edge service; the peer over HTTP/2 is the h2 library."""

import struct
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, SettingsAcknowledged, StreamEnded

from chaos.history import Position
from chaos.workload.dialog import Dialog, Opening, Over
from chaos.workload.grpc_dialog import GrpcDialog
from chaos.workload.grpc_web import GrpcWebDialog
from protos import edge_pb2
from tests.chaos.workload.listening import Heard

WANTED = {"history:1": Position("e", 7), "history:2": Position("e", 3), "plain:1": None}
PATH = "/broadcast.edge.v1.Edge/Subscribe"
AT_9, AT_5 = edge_pb2.Position(epoch="e", offset=9), edge_pb2.Position(epoch="f", offset=5)
FACTS = [
    ("welcomed",),
    ("subscribed", "history:1", "e", 7, True),
    ("delivered", "history:1", "p-9", 9),
    ("subscribed", "history:2", "f", 5, False),
    ("subscribed", "plain:1", "", 0, None),
]


def framed(message: bytes, flags: int = 0) -> bytes:
    return struct.pack("!BI", flags, len(message)) + message


def answered() -> bytes:
    """What a node says to WANTED: one channel is recovered, one is not, one keeps no history; then a ping."""
    publication = edge_pb2.Publication(channel="history:1", data=b'{"id":"p-9"}', offset=9)
    events: list[dict[str, Any]] = [
        {"subscribed": edge_pb2.Subscribed(channel="history:1", position=AT_9, recovered=True)},
        {"publication": publication},
        {"subscribed": edge_pb2.Subscribed(channel="history:2", position=AT_5)},
        {"gap": edge_pb2.Gap(channel="history:2", position=AT_5)},
        {"subscribed": edge_pb2.Subscribed(channel="plain:1")},
    ]
    messages = [edge_pb2.SubscribeResponse(events=[edge_pb2.Event(**each)]) for each in events]
    return b"".join(
        framed(message.SerializeToString()) for message in (*messages, edge_pb2.SubscribeResponse())
    )


def asked(request: bytes) -> list[tuple[str, str, int]]:
    """What a request names."""
    assert request[:5] == struct.pack("!BI", 0, len(request) - 5)
    channels = edge_pb2.SubscribeRequest.FromString(request[5:]).channels
    return [(each.channel, each.since.epoch, each.since.offset) for each in channels]


def fed(dialog: Dialog, data: bytes, step: int) -> bytes:
    """What a dialog answers to bytes that come so many at a time."""
    return b"".join(dialog.receive(data[at : at + step]) for at in range(0, len(data), step))


def called(wanted: dict[str, Position | None], heard: Heard) -> tuple[GrpcDialog, H2Connection, bytes]:
    """A dialog whose call has reached a server, and the message of the call."""
    dialog = GrpcDialog(Opening("h:1", wanted), heard)
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    events = server.receive_data(dialog.opening())
    [request] = [event for event in events if isinstance(event, RequestReceived)]
    fields = {bytes(name): bytes(value) for name, value in request.headers or ()}
    assert (fields[b":path"], fields[b":authority"]) == (PATH.encode(), b"h:1")
    assert (fields[b"te"], fields[b"content-type"]) == (b"trailers", b"application/grpc")
    assert any(isinstance(event, StreamEnded) for event in events)
    return dialog, server, b"".join(event.data or b"" for event in events if isinstance(event, DataReceived))


@pytest.mark.parametrize("step", [1, 13, 100_000])
def test_grpc_reads_what_a_server_sends_however_it_is_cut(step: int) -> None:
    """The request names positions; events are told in order; settings and pings get their answers."""
    heard = Heard()
    dialog, server, request = called(WANTED, heard)
    assert asked(request) == [("history:1", "e", 7), ("history:2", "e", 3), ("plain:1", "", 0)]
    server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    server.send_data(1, answered())
    server.ping(b"12345678")
    answers = server.receive_data(fed(dialog, server.data_to_send(), step))
    assert any(isinstance(event, SettingsAcknowledged) for event in answers)
    assert len(answers) == 2
    assert heard.facts == FACTS


def test_grpc_ends_with_its_trailers() -> None:
    """The client protocol's code of the reason, and when to come back."""
    dialog, server, _ = called({"plain:1": None}, Heard())
    server.send_headers(1, [(":status", "200")])
    trailers = [("grpc-status", "14"), ("grpc-message", "shut%20down"), ("broadcast-code", "3001")]
    server.send_headers(1, [*trailers, ("retry-after-ms", "700")], end_stream=True)
    with pytest.raises(Over, match="status 14: shut down") as over:
        dialog.receive(server.data_to_send())
    assert (over.value.code, over.value.retry_s) == (3001, 0.7)


def test_a_stream_that_is_reset_is_over() -> None:
    """Without trailers, there is no code."""
    dialog, server, _ = called({"plain:1": None}, Heard())
    server.reset_stream(1, 8)
    with pytest.raises(Over, match="error 8"):
        dialog.receive(server.data_to_send())


@pytest.mark.parametrize("step", [1, 13, 100_000])
def test_grpc_web_reads_messages_and_trailers_from_the_body(step: int) -> None:
    """The same stream as a page sees it."""
    heard = Heard()
    dialog = GrpcWebDialog(Opening("h:1", WANTED), heard)
    head, _, body = dialog.opening().partition(b"\r\n\r\n")
    assert head.startswith(f"POST {PATH} ".encode())
    assert asked(body)[0] == ("history:1", "e", 7)
    fed(dialog, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + answered(), step)
    assert heard.facts == FACTS
    trailers = framed(b"grpc-status: 14\r\nbroadcast-code: 3001\r\nretry-after-ms: 700\r\n", 0x80)
    with pytest.raises(Over) as over:
        fed(dialog, trailers, step)
    assert (over.value.code, over.value.retry_s) == (3001, 0.7)


def test_a_gap_in_the_middle_is_a_signal() -> None:
    """Whoever is told that something is missing is owed nothing of it; these clients ask anew."""
    heard = Heard()
    dialog = GrpcWebDialog(Opening("h:1", WANTED), heard)
    gap = edge_pb2.SubscribeResponse(events=[edge_pb2.Event(gap=edge_pb2.Gap(channel="history:1"))])
    dialog.receive(b"HTTP/1.1 200 OK\r\n\r\n" + framed(gap.SerializeToString()))
    assert heard.facts[-1] == ("unsubscribed", "history:1", 2500)
    assert dialog.subscribe("history:1", None) is None


def test_what_is_no_message_of_the_contract_ends_the_call() -> None:
    """The judge does not guess."""
    dialog = GrpcWebDialog(Opening("h:1", WANTED), Heard())
    with pytest.raises(Over, match="not understood"):
        dialog.receive(b"HTTP/1.1 200 OK\r\n\r\n" + framed(b"\xff\xff"))
