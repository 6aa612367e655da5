import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.protocol.errors import LocalProtocolError
from node.protocol.event_stream import (
    EVENT_ID_BYTES_MAX,
    SSE_PING,
    decode_positions,
    encode_positions,
    positions_fit,
    sse_event,
    sse_id,
    sse_retry,
)
from node.protocol.messages import StreamPosition
from tests.node.protocol import strategies

_positions = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
    st.builds(StreamPosition, offset=strategies.offsets, epoch=strategies.text),
    max_size=5,
)


def _parse(stream: bytes) -> tuple[list[tuple[str, str, str]], str]:
    """Read a stream after the HTML standard, 9.2.6: (event, data, last id) of each event, and retry."""
    events, retry = [], ""
    event, data, last_id = "", "", ""
    for line in re.split("\r\n|\r|\n", stream.decode()):
        if not line:
            if data:
                events.append((event or "message", data.removesuffix("\n"), last_id))
            event, data = "", ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and value.isdigit():
            retry = value
    return events, retry


_one_line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=8)


@given(
    st.lists(st.tuples(strategies.text | st.text("a\r\n :", max_size=8), _one_line, _one_line), max_size=4)
)
def test_a_client_reads_what_was_written(events: list[tuple[str, str, str]]) -> None:
    """Any text arrives as it was, with line ends as newlines; an id lasts until the next one."""
    stream = b"".join(sse_event(data.encode(), event, event_id) for data, event, event_id in events)
    read, _ = _parse(stream)
    expected, last_id = [], ""
    for data, event, event_id in events:
        last_id = event_id or last_id
        expected.append((event or "message", re.sub("\r\n|\r", "\n", data), last_id))
    assert read == expected


def test_an_event_on_the_wire() -> None:
    """Id first, so that it can be put in front of an event that many clients share."""
    shared = sse_event(b'{"a":1}', "publication")
    assert shared == b'event: publication\ndata: {"a":1}\n\n'
    assert sse_id("e:x=1") + shared == sse_event(b'{"a":1}', "publication", "e:x=1")
    assert sse_event(b"a\r\n\rb") == b"data: a\ndata: \ndata: b\n\n"
    assert sse_id("") == b""


def test_retry_and_ping_are_no_events() -> None:
    """A delay is understood, a ping is nothing."""
    assert _parse(sse_retry(1500) + SSE_PING) == ([], "1500")


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_a_name_or_id_stays_on_its_line(bad: str) -> None:
    """What would end its line, or make the client drop the id, is a bug of ours."""
    with pytest.raises(LocalProtocolError):
        sse_event(b"", bad)
    with pytest.raises(LocalProtocolError):
        sse_event(b"", "", bad)


@given(_positions)
def test_positions_come_back(positions: dict[str, StreamPosition]) -> None:
    """Whatever channels and epochs are called, their positions survive the way through a browser."""
    event_id = encode_positions(positions)
    assert re.fullmatch(r"[!-~]*", event_id)
    assert decode_positions(event_id) == positions
    events, _ = _parse(sse_event(b"x", "", event_id))
    assert events[0][2] == event_id


def test_an_epoch_is_written_once() -> None:
    """Channels of one stream share their epoch's bytes."""
    positions = {"a:b": StreamPosition(1, "E"), "ü": StreamPosition(0, "F"), "c": StreamPosition(22, "E")}
    assert encode_positions(positions) == "E:a%3Ab=1,c=22;F:%C3%BC=0"


@given(st.text(max_size=30) | st.text("ab:=,;%01", max_size=20))
def test_any_id_is_positions_or_none(event_id: str) -> None:
    """What a client sends as its last id raises nothing."""
    positions = decode_positions(event_id)
    assert positions is None or all(position.offset >= 0 for position in positions.values())


@pytest.mark.parametrize(
    "event_id",
    [
        "42",
        "E:a",
        "E:a=",
        "E:=1",
        "E:a=-1",
        "E:a=1,",
        "E:a=1;",
        "E:a=1e3",
        "E:a=" + "9" * 20,
        "E:%ff=1",
        "%ff:a=1",
        "E:ü=1",
        "E:a=²",
        ":",
        "x" * (EVENT_ID_BYTES_MAX + 1),
    ],
)
def test_an_id_of_somebody_else_is_no_position(event_id: str) -> None:
    """An id that is not ours is None, so that the client is told, and not refused for good."""
    assert decode_positions(event_id) is None


def test_no_id_is_no_position() -> None:
    """A client that comes for the first time knows nothing, which is not the same as nonsense."""
    assert decode_positions("") == {}


def test_positions_that_fit_fit_for_ever() -> None:
    """What fits is decodable with the largest offsets; what could outgrow the limit does not fit now."""
    few = {f"channel-{number}": StreamPosition(0, "epoch") for number in range(128)}
    assert positions_fit(few)
    grown = {channel: StreamPosition(2**53 - 1, at.epoch) for channel, at in few.items()}
    assert decode_positions(encode_positions(grown)) == grown
    many = {f"channel-{number}": StreamPosition(0, "epoch") for number in range(400)}
    assert len(encode_positions(many)) < EVENT_ID_BYTES_MAX
    assert not positions_fit(many)
