import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import Decoder, Encoder

from node.protocol.codec import COMMANDS_PER_FRAME_MAX
from node.protocol.errors import RemoteProtocolError, UnencodablePayload
from node.protocol.json_codec import JSON_CODEC, decode_connect_request
from node.protocol.messages import (
    NO_DATA,
    PING,
    ClientInfo,
    Command,
    ConnectRequest,
    ConnectResult,
    HistoryRequest,
    HistoryResult,
    Publication,
    PublishRequest,
    PublishResult,
    Push,
    RefreshResult,
    Reply,
    SubRefreshResult,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribeResult,
)
from node.protocol.reasons import DISCONNECT_BAD_REQUEST
from tests.node.protocol import strategies

_ENCODER = Encoder()
_REPLY = Decoder(Reply)
_PUSH = Decoder(Push)


@given(st.lists(strategies.commands, min_size=1, max_size=3), st.sampled_from([b"", b"\n"]))
def test_commands_of_a_frame_come_out_as_they_went_in(commands: list[Command], end: bytes) -> None:
    """Every command of a frame is decoded, in order, with or without a newline at the end."""
    frame = b"\n".join(map(_ENCODER.encode, commands)) + end
    assert JSON_CODEC.decode_commands(frame) == commands


@given(strategies.replies)
def test_a_reply_is_one_line_that_says_the_same(reply: Reply) -> None:
    """A reply survives encoding, on one line of UTF-8."""
    encoded = JSON_CODEC.encode_reply(reply)
    assert b"\n" not in encoded
    assert _REPLY.decode(encoded.decode()) == reply


@given(strategies.pushes)
def test_a_bare_push_says_the_same(push: Push) -> None:
    """A push for a unidirectional transport survives encoding."""
    assert _PUSH.decode(JSON_CODEC.encode_push(push)) == push


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\n",
        b"{}\n\n{}",
        b"[]",
        b"null",
        b'{"id":1}}',
        b'{"id":"1"}',
        b'{"id":-1}',
        b'{"id":4294967296}',
        pytest.param(b'{"id":1,"history":{"since":{"offset":' + b"9" * 5000 + b"}}}", id="huge"),
        b'{"id":1,"subscribe":{"channel":null}}',
        b'{"id":1,"subscribe":"news"}',
        pytest.param(b'{"id":1,"publish":{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", id="deep"),
        b'{"id":1,"publish":{"data":"\xff"}}',
        b'{"id":1,"publish":{"data":"\xed\xa0\x80"}}',
        b'{"id":1,"publish":{"data":"\\ud800"}}',
        b'{"id":1,"publish":{"data":"\\udc00 and more"}}',
        b'{"id":1,"publish":{"data":"\\ud800\\u0041 and more"}}',
        b'{"id":1,"publish":{"data":NaN}}',
        b'{"id":1,"publish":{"data":{"a":1,}}}',
        b'{"id":1,"publish":{"data":01}}',
        b'{"id":1,"unknown":"\xff"}',
        b'{"id":1,"\xff":1}',
    ],
)
def test_what_is_no_frame_is_the_clients_fault(frame: bytes) -> None:
    """Bytes that are no frame raise RemoteProtocolError, with the reason for the close."""
    with pytest.raises(RemoteProtocolError) as caught:
        JSON_CODEC.decode_commands(frame)
    assert caught.value.reason is DISCONNECT_BAD_REQUEST


@given(st.binary(max_size=60))
def test_garbage_raises_nothing_else(frame: bytes) -> None:
    """Whatever the bytes are, they are commands or RemoteProtocolError."""
    with suppress(RemoteProtocolError):
        assert JSON_CODEC.decode_commands(frame)


_json_like = st.lists(
    st.sampled_from(["{", "}", "[", "]", ",", ":", '"', "\\u", "d800", "1", "-", "e", "null", "é"]),
    max_size=30,
).map("".join)


@given(_json_like)
def test_a_payload_that_is_taken_in_can_be_embedded(payload: str) -> None:
    """A payload a client may publish is JSON to an independent parser, and leaves its frame intact."""
    frame = b'{"id":1,"publish":{"channel":"x","data":%s}}' % payload.encode()
    try:
        (command,) = JSON_CODEC.decode_commands(frame)
    except RemoteProtocolError:
        return
    assert command.publish is not None
    if command.publish.data != NO_DATA:
        json.loads(bytes(command.publish.data))
        JSON_CODEC.encode_reply(Reply(push=Push("x", Publication(command.publish.data))))


def test_errors_do_not_repeat_what_the_client_sent() -> None:
    """The error's text, which is logged, holds no token and no payload."""
    with pytest.raises(RemoteProtocolError) as caught:
        JSON_CODEC.decode_commands(b'{"id":1,"connect":{"token":"secret-token","headers":{"secret-key":5}}}')
    assert "secret" not in str(caught.value)


def test_unknown_fields_are_ignored() -> None:
    """A client may be newer than the server."""
    frame = b'{"id":1,"new":{"a":1},"subscribe":{"channel":"x","track":{"key":"a"},"newer":[1]}}'
    assert JSON_CODEC.decode_commands(frame) == [Command(1, subscribe=SubscribeRequest("x"))]


@pytest.mark.parametrize(
    ("frame", "command"),
    [
        (b'{"id":1,"connect":null,"history":{"since":null}}', Command(1, history=HistoryRequest())),
        (b'{"id":1,"publish":{"channel":"x","data":null}}', Command(1, publish=PublishRequest("x"))),
        (
            b'{"id":1,"connect":{"data":null,"subs":{"x":{"data":null,"offset":4}}}}',
            Command(1, connect=ConnectRequest(subs={"x": SubscribeRequest(offset=4)})),
        ),
        (
            b'{"id":1,"publish":{"channel":"null","data":[null]}}',
            Command(1, publish=PublishRequest("null", Raw(b"[null]"))),
        ),
    ],
)
def test_null_is_absent(frame: bytes, command: Command) -> None:
    """Null instead of a request, a position or a payload means that there is none."""
    (decoded,) = JSON_CODEC.decode_commands(frame)
    assert decoded == command
    if decoded.publish is not None and decoded.publish.data == NO_DATA:
        assert decoded.publish.data is NO_DATA


@pytest.mark.parametrize(
    ("reply", "encoded"),
    [
        (PING, b"{}"),
        (Reply(3, unsubscribe=UnsubscribeResult()), b'{"id":3,"unsubscribe":{}}'),
        (Reply(3, publish=PublishResult()), b'{"id":3,"publish":{}}'),
        (Reply(3, refresh=RefreshResult()), b'{"id":3,"refresh":{}}'),
        (Reply(3, sub_refresh=SubRefreshResult()), b'{"id":3,"sub_refresh":{}}'),
        (Reply(3, subscribe=SubscribeResult()), b'{"id":3,"subscribe":{}}'),
        (Reply(3, history=HistoryResult()), b'{"id":3,"history":{"publications":[],"epoch":"","offset":0}}'),
        (
            Reply(push=Push("x", Publication(Raw(b"1"), ClientInfo()))),
            b'{"push":{"channel":"x","pub":{"data":1,"info":{"user":"","client":""}}}}',
        ),
        (
            Reply(push=Push("x", Publication(tags={}, offset=7))),
            b'{"push":{"channel":"x","pub":{"offset":7}}}',
        ),
    ],
)
def test_zero_values_are_left_out_but_for_those_that_sdks_read(reply: Reply, encoded: bytes) -> None:
    """SDKs index some fields and every result, so those are written whatever they hold; nothing else is."""
    assert JSON_CODEC.encode_reply(reply) == encoded


@pytest.mark.parametrize(
    "payload",
    [
        b"hello",
        b"{",
        b"1 2",
        b" ",
        b'1,"offset":99',
        b'1},"unsubscribe":{"code":2000}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"line\nend"',
        b"NaN",
        pytest.param(b"[" * 129 + b"]" * 129, id="deep"),
    ],
)
def test_what_is_not_json_is_not_sent_as_json(payload: bytes) -> None:
    """Wherever a payload stands, one that is not a single JSON value raises UnencodablePayload."""
    raw = Raw(payload)
    missed = SubscribeResult(publications=(Publication(raw),))
    replies = [
        Reply(push=Push("x", Publication(raw))),
        Reply(push=Push("x", Publication(info=ClientInfo(conn_info=raw)))),
        Reply(push=Push("x", Publication(info=ClientInfo(chan_info=raw)))),
        Reply(1, subscribe=missed),
        Reply(1, subscribe=SubscribeResult(data=raw)),
        Reply(1, connect=ConnectResult(data=raw)),
        Reply(1, connect=ConnectResult(subs={"x": missed})),
        Reply(push=Push(connect=ConnectResult(subs={"x": missed}))),
        Reply(1, history=HistoryResult((Publication(raw),))),
    ]
    for reply in replies:
        with pytest.raises(UnencodablePayload):
            JSON_CODEC.encode_reply(reply)
    with pytest.raises(UnencodablePayload):
        JSON_CODEC.encode_push(Push("x", Publication(raw)))


def test_line_ends_in_a_payload_are_dropped() -> None:
    """Neither a newline (the end of a message) nor a carriage return (of an event's line) gets out."""
    pretty = Raw(b'{\r\n "a": "x\\ny",\r "b": [1,\n2]}\n')
    encoded = JSON_CODEC.encode_push(Push("x", Publication(pretty)))
    assert encoded == b'{"channel":"x","pub":{"data":{ "a": "x\\ny", "b": [1,2]}}}'


def test_an_empty_payload_is_left_out() -> None:
    """An empty payload is an absent one, whichever object holds it."""
    empty = Raw(b"")
    info = ClientInfo("u", "c", empty, empty)
    reply = Reply(1, subscribe=SubscribeResult(data=empty, publications=(Publication(empty, info, 1),)))
    assert JSON_CODEC.encode_reply(reply) == (
        b'{"id":1,"subscribe":{"publications":[{"info":{"user":"u","client":"c"},"offset":1}]}}'
    )


@given(strategies.connect_requests)
def test_a_connect_request_comes_out_as_it_went_in(request: ConnectRequest) -> None:
    """What a unidirectional client asks for survives decoding."""
    assert decode_connect_request(_ENCODER.encode(request)) == request


def test_a_connect_request_may_be_absent() -> None:
    """A unidirectional client that sends nothing asks for nothing, and one that sends garbage is refused."""
    assert decode_connect_request(b"") == decode_connect_request(b" \n") == ConnectRequest()
    assert decode_connect_request(b'{"data":null}').data is NO_DATA
    with pytest.raises(RemoteProtocolError):
        decode_connect_request(b'{"token":1}')


def test_a_frame_of_pongs_is_cut_short() -> None:
    """A frame may hold many commands, but not so many that decoding them delays other clients."""
    assert len(JSON_CODEC.decode_commands(b"{}\n" * COMMANDS_PER_FRAME_MAX)) == COMMANDS_PER_FRAME_MAX
    with pytest.raises(RemoteProtocolError, match="too many"):
        JSON_CODEC.decode_commands(b"{}\n" * 60_000)
