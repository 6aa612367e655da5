"""Tests of `chaos.workload.event_stream`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.workload.event_stream import Event, Events

STREAM = b":\n\nid: 1\nevent: subscribed\ndata: {}\n\nretry: 1500\n\nid: 2\ndata: a\ndata: b\n\ndata: lost"


@given(st.integers(1, 40), st.sampled_from([b"\n", b"\r\n"]))
def test_events_come_whole_however_they_are_cut(step: int, line_end: bytes) -> None:
    """Names, ids and data are what was sent; what the end of the stream cut off is no event."""
    data = STREAM.replace(b"\n", line_end)
    events = Events()
    found = [event for at in range(0, len(data), step) for event in events.feed(data[at : at + step])]
    assert found == [Event("subscribed", b"{}", "1"), Event("", b"a\nb", "2")]
    assert events.retry_s == 1.5


def test_the_last_id_stays_until_another_comes() -> None:
    """A client that comes back sends the id it has, from the connection before if need be."""
    events = Events("old")
    assert events.feed(b"data: x\n\n") == [Event("", b"x", "old")]
    assert events.feed(b"id: new\n\n") == []
    assert events.last_id == "new"


@pytest.mark.parametrize("line", [b"id: a\0b", b"retry: soon", b"nonsense"])
def test_what_means_nothing_is_left_out(line: bytes) -> None:
    """HTML standard, 9.2.6: such fields are ignored."""
    events = Events("kept")
    assert events.feed(line + b"\n\n") == []
    assert (events.last_id, events.retry_s) == ("kept", None)
