"""What a message looks like in a stream."""

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from node.protocol.messages import PING, Publication, Push, Reply
from node.transports.stream_framing import (
    LINES_JSON,
    SSE_JSON,
    STREAM_PROTOBUF,
    UNI_LINES,
    UNI_SSE,
    ascii_line,
)

PUSH = Push(channel="a", pub=Publication(Raw(b'{"n":1}'), offset=7))


def test_each_form_of_a_publication() -> None:
    """Bidirectional streams wrap a push into a reply, unidirectional ones do not."""
    push = b'{"channel":"a","pub":{"data":{"n":1},"offset":7}}'
    assert SSE_JSON.publication("a", PUSH.pub) == b'data: {"push":%b}\n\n' % push
    assert LINES_JSON.publication("a", PUSH.pub) == b'{"push":%b}\n' % push
    assert UNI_SSE.publication("a", PUSH.pub) == b"data: %b\n\n" % push
    assert UNI_LINES.publication("a", PUSH.pub) == push + b"\n"
    encoded = STREAM_PROTOBUF.publication("a", PUSH.pub)
    assert encoded[0] == len(encoded) - 1


def test_each_form_of_a_ping() -> None:
    """An empty message, in whatever it is wrapped."""
    assert SSE_JSON.ping == UNI_SSE.ping == b"data: {}\n\n"
    assert LINES_JSON.ping == UNI_LINES.ping == b"{}\n"
    assert STREAM_PROTOBUF.ping == b"\x00"
    assert UNI_LINES.reply(PING) == UNI_LINES.ping


def test_unidirectional_clients_are_sent_no_replies() -> None:
    """They would take one for a push."""
    assert UNI_LINES.reply(Reply(id=1)) == b""


@given(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner, max_size=3)))
def test_an_ascii_line_means_the_same(value: object) -> None:
    """Every character that is not ASCII is an escape, and nothing else changed."""
    text = json.dumps(value, ensure_ascii=False)
    if any("\ud800" <= character <= "\udfff" for character in text):
        return
    line = ascii_line(text.encode())
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line) == value
