"""WebSocket frames, judged by RFC 6455 and by the `websockets` package."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from node.protocol.errors import RemoteProtocolError
from node.protocol.reasons import SHUTDOWN, DisconnectReason
from node.transports.websocket_frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameReader,
    close_echo,
    close_frame,
    frame,
)

_SIZE_MAX = 1000


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame, as another program makes it."""
    return Frame(Opcode(opcode), payload, fin).serialize(mask=True)


def read(*pieces: bytes, size_max: int = _SIZE_MAX) -> list[tuple[int, bytes]]:
    """Everything a reader makes of a stream, with the close code as the last entry if it failed."""
    reader = FrameReader(size_max)
    found = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (message := reader.next()) is not None:
                found.append((message[0], bytes(message[1])))
    except RemoteProtocolError as error:
        found.append((error.reason.code, b""))
    return found


def received_by_client(data: bytes) -> list[Frame]:
    """What a client of another make reads."""
    client = ClientProtocol(parse_uri("ws://localhost"), state=OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    return [event for event in client.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_server_frames_are_whole_at_every_length_form(size: int) -> None:
    """A frame of any length is read by another implementation as it was meant."""
    (got,) = received_by_client(frame(BINARY, b"x" * size))
    assert (got.opcode, got.data, got.fin) == (Opcode.BINARY, b"x" * size, True)


def test_close_frame_carries_code_and_reason() -> None:
    """A client reads the code and text of the table of reasons."""
    (got,) = received_by_client(close_frame(SHUTDOWN))
    assert Close.parse(got.data) == Close(3001, "shutdown")


@given(st.text(max_size=200))
def test_close_reason_is_cut_to_fit_between_characters(text: str) -> None:
    """However long a reason is, the close frame stays legal and its text valid UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    (got,) = received_by_client(close_frame(DisconnectReason(4000, text)))
    assert text.startswith(Close.parse(got.data).reason)


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0b\xb8", b"\x13\x87", b"\x03\xf6"])
def test_close_is_answered_with_its_own_code(payload: bytes) -> None:
    """Section 5.5.1: the answer echoes the status code; without one it has none."""
    assert close_echo(payload) == frame(CLOSE, payload[:2])


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        *(
            (code.to_bytes(2, "big"), 1002)
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
        ),
        (b"\x03\xe8\xff", 1007),
        (b"\x03\xe8\xed\xa0\x80", 1007),
    ],
)
def test_malformed_close_is_a_protocol_error(payload: bytes, code: int) -> None:
    """Half a code, a code that must not be sent and text that is not UTF-8 are told apart."""
    with pytest.raises(RemoteProtocolError) as caught:
        close_echo(payload)
    assert caught.value.reason.code == code


def test_messages_and_control_frames_come_out_in_order() -> None:
    """Control frames between fragments come out at their place, the message when it is complete."""
    stream = (
        masked(TEXT, b"Gr\xc3", fin=False)
        + masked(PING, b"are you there")
        + masked(0, b"\xbc", fin=False)
        + masked(PONG, b"")
        + masked(0, b"\xc3\x9fe")
        + masked(BINARY, b"\x00\xff")
    )
    assert read(stream) == [
        (PING, b"are you there"),
        (PONG, b""),
        (TEXT, "Grüße".encode()),
        (BINARY, b"\x00\xff"),
    ]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        pytest.param(Frame(Opcode.TEXT, b"hi").serialize(mask=False), 1002, id="unmasked"),
        pytest.param(b"\xc1\x80", 1002, id="first reserved bit"),
        pytest.param(b"\xa1\x80", 1002, id="second reserved bit"),
        pytest.param(b"\x91\x80", 1002, id="third reserved bit"),
        *(pytest.param(bytes((0x80 | n, 0x80)), 1002, id=f"opcode {n}") for n in (3, 4, 5, 6, 7, 11, 15)),
        pytest.param(b"\x09\x80", 1002, id="fragmented ping"),
        pytest.param(b"\x08\x80", 1002, id="fragmented close"),
        pytest.param(b"\x89\xfe", 1002, id="ping of more than 125 bytes"),
        pytest.param(b"\x88\xff", 1002, id="close of more than 125 bytes"),
        pytest.param(masked(0, b"x"), 1002, id="continuation of nothing"),
        pytest.param(masked(TEXT, b"a", fin=False) + masked(TEXT, b"b"), 1002, id="message inside a message"),
        pytest.param(b"\x82\xff\x80" + bytes(7), 1002, id="64-bit length with its top bit"),
        pytest.param(b"\x82\xff\x7f" + b"\xff" * 7, 1009, id="largest 64-bit length"),
        pytest.param(b"\x82\xfe" + (1001).to_bytes(2, "big"), 1009, id="one byte too long, from its header"),
        pytest.param(masked(TEXT, b"a" * 999, fin=False) + b"\x80\x82", 1009, id="fragments too long"),
        pytest.param(masked(TEXT, b"\xc3\x28"), 1007, id="text that is not UTF-8"),
        pytest.param(masked(TEXT, b"\xc3"), 1007, id="text that ends inside a character"),
        pytest.param(masked(TEXT, b"\xc3", fin=False) + masked(0, b"\x28"), 1007, id="fragments not UTF-8"),
    ],
)  # fmt: skip
def test_broken_framing_has_its_close_code(stream: bytes, code: int) -> None:
    """Each rule of sections 5 and 8 that a client can break fails with the code meant for it."""
    assert read(stream)[-1] == (code, b"")


def test_a_control_frame_does_not_count_towards_the_message_it_interrupts() -> None:
    """A ping between fragments is served although the message is at its limit already."""
    stream = masked(BINARY, b"a" * _SIZE_MAX, fin=False) + masked(PING, b"p" * 125) + masked(0, b"")
    assert read(stream) == [(PING, b"p" * 125), (BINARY, b"a" * _SIZE_MAX)]


def test_one_message_at_a_time_is_taken_out() -> None:
    """Thousands of frames in one segment wait as bytes, not as objects."""
    reader = FrameReader(_SIZE_MAX)
    reader.feed(masked(BINARY, b"") * 10_000)
    assert reader.next() == (BINARY, b"")
    assert len(reader._buffer) == 9_999 * 6


_utf8 = st.text(max_size=40).map(lambda text: text.encode("utf-8", "ignore"))
_frames = st.one_of(
    st.builds(masked, st.sampled_from([TEXT, BINARY]), _utf8),
    st.builds(masked, st.sampled_from([PING, PONG]), st.binary(max_size=125)),
    st.builds(masked, st.sampled_from([0, TEXT, BINARY]), st.binary(max_size=40), fin=st.booleans()),
)  # fmt: skip


@given(st.lists(_frames, max_size=6).map(b"".join), st.data())
@settings(deadline=None)
def test_every_split_of_a_stream_reads_the_same(stream: bytes, data: st.DataObject) -> None:
    """What was sent decides what is read, never how the network cut it."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces) == read(stream)
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == read(stream)


@given(
    st.one_of(st.binary(max_size=300), st.lists(_frames, max_size=4).map(b"".join)), st.binary(max_size=30)
)
@settings(deadline=None)
def test_garbage_only_ever_fails_with_a_websocket_code(stream: bytes, tail: bytes) -> None:
    """Whatever bytes come, there is a message, a wish for more, or 1002, 1007 or 1009."""
    codes = {code for code, _ in read(stream + tail) if code >= 1000}
    assert codes <= {1002, 1007, 1009}


@given(st.lists(_frames, max_size=6).map(b"".join))
@settings(deadline=None)
def test_agrees_with_another_implementation(stream: bytes) -> None:
    """Every frame that the `websockets` package accepts from a client is read the same here."""
    other = ServerProtocol(state=OPEN, max_size=_SIZE_MAX)
    other.receive_data(stream)
    expected = [
        (event.opcode, bytes(event.data)) for event in other.events_received() if isinstance(event, Frame)
    ]
    ours = read(stream)
    failed = bool(ours) and ours[-1][0] >= 1000
    # That package leaves UTF-8 to its caller.
    if not (failed and ours[-1][0] == 1007):
        assert failed == (other.parser_exc is not None)
        controls = [entry for entry in ours if entry[0] in (PING, PONG)]
        assert controls == [entry for entry in expected if entry[0] in (PING, PONG)]
        payload = b"".join(data for opcode, data in ours if opcode in (TEXT, BINARY))
        assert b"".join(data for opcode, data in expected if opcode <= BINARY).startswith(payload)
