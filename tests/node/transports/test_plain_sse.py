"""Which clients share bytes, and what their event ids say."""

from msgspec import Raw

from node.protocol.event_stream import decode_positions
from node.protocol.messages import Publication, StreamPosition
from node.transports.plain_sse import PLAIN_SSE, ClientSseFraming, _framing_of


def id_of(event: bytes) -> str | None:
    first, _, _ = event.partition(b"\n")
    return first.removeprefix(b"id: ").decode() if first.startswith(b"id: ") else None


def test_a_channel_without_history_has_events_without_ids() -> None:
    """An id that nothing can be recovered from would only mislead."""
    event = PLAIN_SSE.publication("news", Publication(Raw(b"1")))
    assert event == b'data: {"type":"publication","channel":"news","data":1}\n\n'


def test_a_framing_is_one_object_per_epoch() -> None:
    """The hub shares bytes between clients with the same framing object, and ids hold the epoch."""
    one, same, other = _framing_of("e1"), _framing_of("e1"), _framing_of("e2")
    assert one is same
    assert one is not other
    event = one.publication("a", Publication(Raw(b"1"), offset=7))
    assert decode_positions(id_of(event) or "") == {"a": StreamPosition(7, "e1")}


def test_a_client_of_several_channels_moves_through_all_of_them() -> None:
    """Each id holds every position; a channel that is not known to have one gives no id."""
    framing = ClientSseFraming({"a": StreamPosition(1, "e"), "b": StreamPosition(5, "e")})
    first = framing.publication("a", Publication(Raw(b"1"), offset=2))
    second = framing.publication("b", Publication(Raw(b"1"), offset=9))
    assert decode_positions(id_of(first) or "") == {"a": StreamPosition(2, "e"), "b": StreamPosition(5, "e")}
    assert decode_positions(id_of(second) or "") == {"a": StreamPosition(2, "e"), "b": StreamPosition(9, "e")}
    assert id_of(framing.publication("c", Publication(Raw(b"1"), offset=3))) is None
    assert framing.join([first, second]) == first + second
