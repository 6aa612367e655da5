"""Tests of the event streams' dialogs, with bytes as nodes send them."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from chaos.history import Position
from chaos.workload.dialog import Opening, Over
from chaos.workload.plain_sse import PlainSseDialog
from chaos.workload.sse_dialog import SseDialog
from chaos.workload.uni_sse import UniSseDialog
from node.protocol.event_stream import decode_positions
from node.protocol.messages import StreamPosition
from tests.chaos.workload.listening import Heard

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
WANTED = {"history:1": Position("e", 7), "plain:1": None}


def asked(dialog: SseDialog) -> tuple[str, dict[str, list[str]], str]:
    """Path, query and Last-Event-ID of its request."""
    lines = dialog.opening().decode().split("\r\n")
    target = urlsplit(lines[0].split(" ")[1])
    ids = [line.partition(": ")[2] for line in lines if line.startswith("Last-Event-ID: ")]
    return target.path, parse_qs(target.query), "".join(ids)


def test_uni_sse_asks_with_positions_and_reads_pushes() -> None:
    """The connect request names channels and positions; the connect push answers each, then pushes come."""
    heard = Heard()
    dialog = UniSseDialog(Opening("h:1", WANTED), heard)
    path, query, _ = asked(dialog)
    assert path == "/connection/uni_sse"
    subs = json.loads(query["cf_connect"][0])["subs"]
    assert subs == {"history:1": {"recover": True, "epoch": "e", "offset": 7}, "plain:1": {}}
    missed = {"data": {"id": "p-8"}, "offset": 8}
    granted = {"epoch": "e", "offset": 7, "recovered": True, "publications": [missed]}
    pushes = [
        {"connect": {"client": "c", "subs": {"history:1": granted, "plain:1": {}}}},
        {"channel": "history:1", "pub": {"data": {"id": "p-9"}, "offset": 9}},
    ]
    dialog.receive(HEAD + b"".join(b"data: %s\n\n" % json.dumps(push).encode() for push in pushes))
    assert heard.facts == [
        ("welcomed",),
        ("subscribed", "history:1", "e", 7, True),
        ("delivered", "history:1", "p-8", 8),
        ("subscribed", "plain:1", "", 0, None),
        ("delivered", "history:1", "p-9", 9),
    ]


def test_a_channel_that_was_not_granted_is_told() -> None:
    """A connect push without one of the channels is no subscription to it."""
    heard = Heard()
    dialog = UniSseDialog(Opening("h:1", {"history:1": None}), heard)
    dialog.receive(HEAD + b'data: {"connect":{"client":"c"}}\n\n')
    assert heard.facts[1][:2] == ("refused", "history:1")


def test_sse_reads_events_and_keeps_the_last_id() -> None:
    """Publications are messages, all else has a name; the id is for the next connection."""
    heard = Heard()
    dialog = PlainSseDialog(Opening("h:1", {"history:1": None}), heard)
    assert asked(dialog) == ("/sse", {"channel": ["history:1"]}, "")
    dialog.receive(
        HEAD
        + b'event: connected\ndata: {"type":"connected","client":"c"}\n\n'
        + b"id: e:history%3A1=7\nevent: subscribed\n"
        + b'data: {"type":"subscribed","channel":"history:1","epoch":"e","offset":7}\n\n'
        + b"id: e:history%3A1=8\n"
        + b'data: {"type":"publication","channel":"history:1","data":{"id":"p"},"offset":8}\n\n'
    )
    assert heard.facts[1:] == [("subscribed", "history:1", "e", 7, None), ("delivered", "history:1", "p", 8)]
    assert dialog.last_event_id == "e:history%3A1=8"


def test_sse_sends_back_the_id_it_has() -> None:
    """An EventSource does not read its id; it sends it."""
    dialog = PlainSseDialog(Opening("h:1", WANTED, "opaque"), Heard())
    assert asked(dialog)[2] == "opaque"


def test_a_client_of_another_transport_brings_its_position_to_sse() -> None:
    """Without an id, one is written as a node writes it: the node's own reader finds the position in it."""
    last_id = asked(PlainSseDialog(Opening("h:1", WANTED), Heard()))[2]
    assert decode_positions(last_id) == {"history:1": StreamPosition(7, "e")}


@pytest.mark.parametrize("kind", [UniSseDialog, PlainSseDialog])
def test_a_node_that_sends_away_says_for_how_long(kind: type[SseDialog]) -> None:
    """`retry:` and the disconnect that follows it: code, reason and the time to stay away."""
    dialog = kind(Opening("h:1", WANTED), Heard())
    goodbye = b'{"type":"disconnect","code":3001,"reason":"shutdown","reconnect":true}'
    if kind is UniSseDialog:
        goodbye = b'{"disconnect":{"code":3001,"reason":"shutdown"}}'
    with pytest.raises(Over) as over:
        dialog.receive(HEAD + b"retry: 1500\n\ndata: %s\n\n" % goodbye)
    assert (over.value.code, over.value.reason, over.value.retry_s) == (3001, "shutdown", 1.5)


@pytest.mark.parametrize("kind", [UniSseDialog, PlainSseDialog])
def test_a_status_is_a_failure(kind: type[SseDialog]) -> None:
    """A refused stream is over, with its time to wait if one is given."""
    dialog = kind(Opening("h:1", WANTED), Heard())
    with pytest.raises(Over, match="HTTP 503") as over:
        dialog.receive(b"HTTP/1.1 503 x\r\nRetry-After: 2\r\n\r\n")
    assert over.value.retry_s == 2.0
    with pytest.raises(Over, match="not understood"):
        kind(Opening("h:1", WANTED), Heard()).receive(HEAD + b"data: [\n\n")
