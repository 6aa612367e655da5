"""The parser: any split of the bytes gives the same events, and garbage raises its own error only."""

import contextlib
import itertools
import string

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.broker.nats.protocol import (
    CONTROL_LINE_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Control,
    Event,
    Msg,
    Parser,
    ParserError,
    ServerError,
    ServerInfo,
)

HEADERS = b"NATS/1.0\r\nNats-Sequence: 7\r\nTag: a\r\nTag: b\r\n\r\n"

words = st.text(string.ascii_letters + string.digits + ".$_*>-é", min_size=1, max_size=30).map(str.encode)
payloads = st.binary(max_size=200) | st.sampled_from([b"\r\n", b"MSG a 1 2\r\nhi\r\n", b"PING\r\n"])
plain = st.builds(Msg, words, st.just(b"") | words, st.just(b""), payloads, words)
with_headers = st.builds(Msg, words, st.just(b"") | words, st.just(HEADERS), payloads, words)
infos = st.builds(
    ServerInfo,
    server_id=st.text(max_size=20),
    max_payload=st.integers(0, 2**40),
    connect_urls=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    ldm=st.booleans(),
)
errors = st.text('abc XYZ"', max_size=30).map(lambda text: ServerError(text.strip()))
events = st.lists(plain | with_headers | infos | errors | st.sampled_from(list(Control)), max_size=12)


def sent(event: Event) -> bytes:
    """What a server sends for this event."""
    if isinstance(event, Msg):
        words = [event.subject, event.sid, *([event.reply] if event.reply else [])]
        sizes = [len(event.headers)] if event.headers else []
        line = b" ".join([*words, *(b"%d" % size for size in (*sizes, len(event.headers + event.payload)))])
        return b"%bMSG %b\r\n%b%b\r\n" % (b"H" if event.headers else b"", line, event.headers, event.payload)
    if isinstance(event, ServerInfo):
        return b"INFO %b \r\n" % msgspec.json.encode(event)
    if isinstance(event, ServerError):
        return b"-ERR '%b'\r\n" % event.text.encode()
    return event.value.encode() + b"\r\n"


def parsed(stream: bytes, cuts: list[int]) -> list[Event]:
    """The events of a stream that arrives in the portions the cuts make."""
    parser = Parser()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    found = [event for a, b in itertools.pairwise(edges) for event in parser.receive(stream[a:b])]
    assert not parser.holds_data
    return found


@given(events, st.lists(st.integers(0, 10_000), max_size=30))
@settings(deadline=None)
def test_every_split_gives_the_same_events(expected: list[Event], cuts: list[int]) -> None:
    """Where TCP cuts the stream makes no difference."""
    assert parsed(b"".join(map(sent, expected)), cuts) == expected


@given(events)
@settings(deadline=None, max_examples=30)
def test_byte_by_byte_gives_the_same_events(expected: list[Event]) -> None:
    """Portions of one byte, the worst split there is, make no difference either."""
    stream = b"".join(map(sent, expected))
    assert parsed(stream, list(range(len(stream)))) == expected


pieces = st.binary(max_size=40) | st.sampled_from(
    [
        b"MSG",
        b"HMSG",
        b" a",
        b" 1",
        b" -5",
        b" 4",
        b"\r\n",
        b"INFO {",
        b"}",
        b"PING",
        b"-ERR",
        b'"\xff"',
        b"9" * 5000,
    ]
)


@given(st.lists(pieces, max_size=20).map(b"".join), st.lists(st.integers(0, 1000), max_size=5))
@settings(deadline=None, max_examples=500)
def test_garbage_raises_only_parser_error(garbage: bytes, cuts: list[int]) -> None:
    """Whatever a peer sends, the parser's own error is the only one."""
    parser = Parser()
    edges = [0, *sorted(cut % (len(garbage) + 1) for cut in cuts), len(garbage)]
    with contextlib.suppress(ParserError):
        for a, b in itertools.pairwise(edges):
            parser.receive(garbage[a:b])


@pytest.mark.parametrize(
    "line",
    [
        b"\r\n",
        b"MSG a 1\r\n",
        b"MSG a 1 r 5 6 7\r\n",
        b"MSG a 1 x\r\n",
        b"MSG a 1 -1\r\n",
        b"MSG a 1 2\r\nhi!!",
        b"MSG a 1 %d\r\n" % (MESSAGE_BYTES_MAX + 1),
        b"MSG a 1 %b\r\n" % (b"9" * 5000),
        b"HMSG a 1 12\r\n",
        b"HMSG a 1 13 12\r\n",
        b"HMSG a 1 -2 12\r\n",
        b"HMSG a 1 r x 12\r\n",
        b"msg a 1 0\r\n\r\n",
        b"INFO []\r\n",
        b'INFO {"max_payload":"x"}\r\n',
        b'INFO {"server_id":"\xff"}\r\n',
        b'INFO {"future":' + b"[" * 30_000 + b"\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_broken_lines_are_refused(line: bytes) -> None:
    """A wrong number of words, an impossible size and another protocol are each refused at once."""
    with pytest.raises(ParserError):
        Parser().receive(line)


def test_an_error_does_not_repeat_what_was_received() -> None:
    """What a connection out of step takes for a line may be a payload: it is not put in the message."""
    with pytest.raises(ParserError) as caught:
        Parser().receive(b"secret words\r\n")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, CONTROL_LINE_BYTES_MAX, CONTROL_LINE_BYTES_MAX + 1])
def test_a_control_line_has_a_limit(cut: int) -> None:
    """A line of the limit passes and one byte more does not, wherever it is cut."""
    head, tail = b"-ERR '", b"'\r\n"
    fits = head + b"x" * (CONTROL_LINE_BYTES_MAX - len(head) - 1) + tail
    parser = Parser()
    assert len([*parser.receive(fits[:cut]), *parser.receive(fits[cut:])]) == 1
    too_long = head + b"x" + fits[len(head) :]
    with pytest.raises(ParserError):
        parsed(too_long, [cut])


def test_an_endless_line_is_refused_before_its_end() -> None:
    """A peer cannot make us hold more than a line."""
    with pytest.raises(ParserError):
        Parser().receive(b"x" * (CONTROL_LINE_BYTES_MAX + 2))


def test_a_long_payload_in_many_portions_arrives_whole() -> None:
    """A payload of many portions is put together, and the message behind it is not lost."""
    payload = bytes(range(256)) * 4096
    stream = sent(Msg(b"a", b"", b"", payload, b"1")) + b"PING\r\n"
    parser = Parser()
    found = [e for at in range(0, len(stream), 65_536) for e in parser.receive(stream[at : at + 65_536])]
    assert found == [Msg(b"a", b"", b"", payload, b"1"), Control.PING]


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        (b"", 0, ""),
        (HEADERS, 0, ""),
        (b"NATS/1.0 503\r\n\r\n", 503, ""),
        (b"NATS/1.0 408 Request Timeout\r\nA: 1\r\n\r\n", 408, "Request Timeout"),
        (b"NATS/1.0 xyz\r\n\r\n", 0, ""),
    ],
)
def test_status_of_the_header_line(headers: bytes, status: int, text: str) -> None:
    """The status code and its words come from the first line; an ordinary message has none."""
    message = Msg(b"s", b"", headers, b"")
    assert message.status == status
    assert status == 0 or message.status_text == text


def test_info_skips_what_we_do_not_know() -> None:
    """A newer server's INFO with more members is no error."""
    line = b'INFO {"server_id":"N","future":[1],"connect_urls":["a:1"],"max_payload":10}\r\n'
    assert Parser().receive(line) == [ServerInfo(server_id="N", connect_urls=("a:1",), max_payload=10)]


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: b"NATS/1.0" + b + b"\r\n\r\n"))
def test_a_garbage_header_block_raises_nothing(block: bytes) -> None:
    """Whatever a publisher put into its headers, looking into them is safe."""
    message = Msg(b"s", b"", block, b"")
    assert 0 <= message.status <= 999
    assert isinstance(message.status_text, str)
