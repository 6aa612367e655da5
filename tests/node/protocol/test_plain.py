import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from node.protocol.errors import UnencodablePayload
from node.protocol.messages import (
    NO_DATA,
    PING,
    ClientInfo,
    Command,
    ConnectRequest,
    ConnectResult,
    Disconnect,
    Error,
    HistoryRequest,
    HistoryResult,
    Publication,
    PublishRequest,
    PublishResult,
    Push,
    Reply,
    StreamPosition,
    SubscribeRequest,
    SubscribeResult,
    Unsubscribe,
    UnsubscribeRequest,
    UnsubscribeResult,
)
from node.protocol.plain import PlainAnswer, PlainDialog, plain_publication
from tests.node.protocol import strategies


def _write(dialog: PlainDialog, **message: Any) -> Command:
    command = dialog.receive(json.dumps(message).encode())
    assert isinstance(command, Command)
    return command


def _read(dialog: PlainDialog, reply: Reply) -> list[dict[str, Any]]:
    return [json.loads(text.data) for text in dialog.texts(reply)]


def test_messages_become_commands() -> None:
    """Each message is its command, with ids of the dialog's own, in order."""
    dialog = PlainDialog()
    assert dialog.connect(ConnectRequest("t")) == Command(1, connect=ConnectRequest("t"))
    assert _write(dialog, type="subscribe", channel="x") == Command(
        2, subscribe=SubscribeRequest("x", positioned=True, recoverable=True)
    )
    recover = {"epoch": "E", "offset": 5}
    assert _write(dialog, type="subscribe", channel="x", recover=recover, token="t", id="a") == Command(
        3,
        subscribe=SubscribeRequest(
            "x", "t", recover=True, epoch="E", offset=5, positioned=True, recoverable=True
        ),
    )
    assert _write(dialog, type="unsubscribe", channel="x") == Command(4, unsubscribe=UnsubscribeRequest("x"))
    assert _write(dialog, type="publish", channel="x", data={"a": 1}) == Command(
        5, publish=PublishRequest("x", Raw(b'{"a": 1}'))
    )
    assert _write(dialog, type="history", channel="x") == Command(6, history=HistoryRequest("x", -1))
    assert _write(dialog, type="history", channel="x", limit=2, since=recover, reverse=True) == Command(
        7, history=HistoryRequest("x", 2, StreamPosition(5, "E"), reverse=True)
    )
    nothing = _write(dialog, type="publish", channel="x", data=None)
    assert nothing.publish is not None
    assert nothing.publish.data is NO_DATA


def test_a_ping_is_answered_without_the_session() -> None:
    """Whoever asks whether the server is there is told, with the id of the question."""
    assert PlainDialog().receive(b'{"type":"ping","id":7}') == (b'{"type":"pong","id":7}', "")
    assert PlainDialog().receive(b'{"type":"ping"}') == (b'{"type":"pong"}', "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "one JSON object"),
        (b"subscribe news", "one JSON object"),
        (b'"subscribe"', "one JSON object"),
        (b"\xff", "not UTF-8 (byte 0)"),
        (b'{"type":"ping","id":"\xff"}', "not UTF-8"),
        (b'{"type":"publish","channel":"x","data":"\xff"}', "not UTF-8"),
        pytest.param(b"[" * 100_000, "nests too deeply", id="deep"),
        (b"{}", "no type: use one of subscribe, unsubscribe, publish, history, ping"),
        (b'{"type":5}', "no type: use one of"),
        (b'{"type":"subscrib","channel":"x"}', "unknown type 'subscrib': use one of"),
        (b'{"type":"subscribe"}', "missing required field `channel`"),
        (b'{"type":"subscribe","channel":""}', "length >= 1"),
        (b'{"type":"subscribe","channel":7}', "got `int` - at `$.channel`"),
        (b'{"type":"subscribe","channel":"x","recovery":{}}', "unknown field `recovery`"),
        (b'{"type":"subscribe","channel":"x","recover":{"offset":"1"}}', "at `$.recover.offset`"),
        (b'{"type":"publish","channel":"x"}', "missing required field `data`"),
        (b'{"type":"history","channel":"x","limit":1.5}', "at `$.limit`"),
        (b'{"type":"subscribe","channel":"x","id":[1]}', "at `$.id`"),
        (b'{"type":"ping","id":99999999999999999999999}', "at `$.id`"),
    ],
)
def test_a_mistake_is_answered_with_what_to_change(text: bytes, message: str) -> None:
    """A message that a person got wrong is answered, and says what is wrong with it."""
    answer = PlainDialog().receive(text)
    assert isinstance(answer, PlainAnswer)
    assert answer.fault
    error = json.loads(answer.text)
    assert error["type"] == "error"
    assert error["code"] == 107
    assert message in error["message"]


@pytest.mark.parametrize(
    "text", [b"sesame", b'{"type":"sesame"}', b'{"type":"subscribe","channel":"x","id":["sesame"]}']
)
def test_what_is_logged_of_a_mistake_has_none_of_its_values(text: bytes) -> None:
    """They could be a token or a payload."""
    answer = PlainDialog().receive(text)
    assert isinstance(answer, PlainAnswer)
    assert "sesame" not in answer.fault


def test_a_mistake_is_found_again() -> None:
    """The answer to a wrong message repeats its id and channel where it had them."""
    answer = PlainDialog().receive(b'{"type":"publish","channel":"x","id":"q1"}')
    assert isinstance(answer, PlainAnswer)
    error = json.loads(answer.text)
    assert (error["channel"], error["id"]) == ("x", "q1")


@given(
    st.binary(max_size=50)
    | st.builds(
        lambda value: json.dumps(value).encode(),
        st.dictionaries(
            st.sampled_from(["type", "channel", "id", "data", "recover", "limit"]),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | strategies.names
            | st.just("subscribe")
            | st.just("history"),
        ),
    )
)
def test_any_text_is_a_command_or_an_answer(text: bytes) -> None:
    """Nothing a client writes raises."""
    received = PlainDialog().receive(text)
    assert isinstance(received, Command) or json.loads(received.text)["type"] in ("error", "pong")


def test_answers_name_what_they_answer() -> None:
    """Each answer has the channel and id of its question, whatever the order they come in."""
    dialog = PlainDialog()
    subscribe = _write(dialog, type="subscribe", channel="a", id=1)
    publish = _write(dialog, type="publish", channel="b", data=1, id="two")
    unsubscribe = _write(dialog, type="unsubscribe", channel="c")
    history = _write(dialog, type="history", channel="d", id=4)
    denied = _write(dialog, type="subscribe", channel="e", id=5)
    assert _read(dialog, Reply(publish.id, publish=PublishResult())) == [
        {"type": "published", "channel": "b", "id": "two"}
    ]
    assert _read(dialog, Reply(denied.id, error=Error(103, "permission denied"))) == [
        {"type": "error", "code": 103, "message": "permission denied", "channel": "e", "id": 5}
    ]
    assert _read(dialog, Reply(subscribe.id, subscribe=SubscribeResult())) == [
        {"type": "subscribed", "channel": "a", "id": 1}
    ]
    page = HistoryResult((Publication(Raw(b"7"), offset=3),), "E", 9)
    assert _read(dialog, Reply(history.id, history=page)) == [
        {
            "type": "history",
            "channel": "d",
            "epoch": "E",
            "offset": 9,
            "publications": [{"data": 7, "offset": 3}],
            "id": 4,
        }
    ]
    assert _read(dialog, Reply(unsubscribe.id, unsubscribe=UnsubscribeResult())) == [
        {"type": "unsubscribed", "channel": "c", "code": 0, "reason": "unsubscribed by client"}
    ]
    assert dialog._asked == {}


def test_what_was_missed_follows_the_answer() -> None:
    """A recovered subscription is told first, then what was missed, each with its position."""
    dialog = PlainDialog()
    command = _write(dialog, type="subscribe", channel="a", recover={"epoch": "E", "offset": 4})
    missed = (Publication(Raw(b"5"), offset=5), Publication(Raw(b"6"), offset=6))
    result = SubscribeResult(
        recoverable=True, epoch="E", publications=missed, recovered=True, offset=4, was_recovering=True
    )
    texts = dialog.texts(Reply(command.id, subscribe=result))
    assert [json.loads(text.data) for text in texts] == [
        {"type": "subscribed", "channel": "a", "epoch": "E", "offset": 4, "recovered": True},
        {"type": "publication", "channel": "a", "data": 5, "offset": 5},
        {"type": "publication", "channel": "a", "data": 6, "offset": 6},
    ]
    assert [(text.type, text.channel, text.position) for text in texts] == [
        ("subscribed", "a", StreamPosition(4, "E")),
        ("publication", "a", StreamPosition(5)),
        ("publication", "a", StreamPosition(6)),
    ]


def test_a_failed_recovery_is_said() -> None:
    """A client that asked for recovery reads `recovered` also when it is false, and its position now."""
    dialog = PlainDialog()
    command = _write(dialog, type="subscribe", channel="a", recover={"epoch": "old", "offset": 4})
    result = SubscribeResult(recoverable=True, epoch="new", was_recovering=True)
    assert _read(dialog, Reply(command.id, subscribe=result)) == [
        {"type": "subscribed", "channel": "a", "epoch": "new", "offset": 0, "recovered": False}
    ]


def test_a_connection_brings_its_subscriptions() -> None:
    """The start of a session names the client, then every channel it is in, as reply and as push."""
    dialog = PlainDialog()
    connect = dialog.connect(ConnectRequest())
    result = ConnectResult("c1", subs={"a": SubscribeResult(publications=(Publication(Raw(b"1")),))})
    expected = [
        {"type": "connected", "client": "c1"},
        {"type": "subscribed", "channel": "a"},
        {"type": "publication", "channel": "a", "data": 1},
    ]
    assert _read(dialog, Reply(push=Push(connect=result))) == expected
    assert _read(dialog, Reply(connect.id, connect=result)) == expected
    assert all(text.position is None for text in dialog.texts(Reply(connect.id, connect=result)))


def test_pushes_become_texts() -> None:
    """Publications, ended subscriptions and goodbyes are told; pings are the transport's."""
    dialog = PlainDialog()
    info = ClientInfo("u", "c", Raw(b'{"n":1}'))
    publication = Publication(Raw(b'{"x":\r\n1}'), info, 8, {"k": "v"})
    assert _read(dialog, Reply(push=Push("a", publication))) == [
        {
            "type": "publication",
            "channel": "a",
            "data": {"x": 1},
            "offset": 8,
            "tags": {"k": "v"},
            "info": {"user": "u", "client": "c", "conn_info": {"n": 1}},
        }
    ]
    assert _read(dialog, Reply(push=Push("a", unsubscribe=Unsubscribe(2500, "insufficient state")))) == [
        {"type": "unsubscribed", "channel": "a", "code": 2500, "reason": "insufficient state"}
    ]
    assert _read(dialog, Reply(push=Push(disconnect=Disconnect(3001, "shutdown")))) == [
        {"type": "disconnect", "code": 3001, "reason": "shutdown", "reconnect": True}
    ]
    assert _read(dialog, Reply(push=Push(disconnect=Disconnect(3500, "invalid token")))) == [
        {"type": "disconnect", "code": 3500, "reason": "invalid token", "reconnect": False}
    ]
    assert dialog.texts(PING) == dialog.texts(Reply(push=Push())) == []


def test_a_publication_on_the_wire() -> None:
    """The shared bytes of a publication are one line of JSON, also without a payload."""
    assert plain_publication("a", Publication(Raw(b'{"x":\n1}'))) == (
        b'{"type":"publication","channel":"a","data":{"x":1}}'
    )
    assert (
        plain_publication("a", Publication(Raw(b""))) == b'{"type":"publication","channel":"a","data":null}'
    )


@given(strategies.replies)
def test_any_reply_is_json_on_one_line(reply: Reply) -> None:
    """Whatever a session sends, each text is a complete JSON object without a line end."""
    for text in PlainDialog().texts(reply):
        assert json.loads(text.data)["type"] == text.type
        assert b"\n" not in text.data
        assert b"\r" not in text.data


def test_what_is_not_json_is_not_sent() -> None:
    """A payload that is not JSON raises UnencodablePayload, live or missed."""
    binary = Publication(Raw(b"\x00\x01"))
    with pytest.raises(UnencodablePayload):
        plain_publication("a", binary)
    for reply in (
        Reply(push=Push("a", binary)),
        Reply(1, subscribe=SubscribeResult(publications=(binary,))),
        Reply(1, history=HistoryResult((binary,))),
    ):
        with pytest.raises(UnencodablePayload):
            PlainDialog().texts(reply)
