"""Tests of `chaos.workload.websocket_frames`; the peer is the websockets library."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from chaos.workload.http import BadAnswer, answer_head
from chaos.workload.websocket_frames import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Message,
    Messages,
    check_accepted,
    close_code,
    frame,
    upgrade,
)


def server_frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=False)


def test_a_server_takes_the_handshake_and_the_frames() -> None:
    """What is sent is what another implementation understands, and its answer is accepted."""
    server = ServerProtocol()
    server.receive_data(upgrade("/x", "h:1"))
    [wanted] = server.events_received()
    server.send_response(server.accept(wanted))  # type: ignore[arg-type]
    answer = answer_head(b"".join(server.data_to_send()))
    assert answer is not None
    check_accepted(answer)
    server.receive_data(frame(TEXT, b"hello") + frame(BINARY, bytes(200)) + frame(BINARY, bytes(70_000)))
    assert [len(event.data) for event in server.events_received()] == [5, 200, 70_000]  # type: ignore[union-attr]


def test_another_key_is_refused() -> None:
    """A cache that answers the upgrade is no WebSocket."""
    answer = answer_head(b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: nonsense\r\n\r\n")
    assert answer is not None
    with pytest.raises(BadAnswer):
        check_accepted(answer)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, 125, 126, 65_535, 65_536]), max_size=4), st.integers(7, 5000))
def test_messages_are_cut_wherever_the_network_cuts(sizes: list[int], step: int) -> None:
    """Every message comes once and whole, with any number of them in a read, or parts of one."""
    data = b"".join(server_frame(Opcode.BINARY, bytes(size)) for size in sizes)
    messages = Messages()
    found = [message for at in range(0, len(data), step) for message in messages.feed(data[at : at + step])]
    assert [(message.opcode, len(message.data)) for message in found] == [(BINARY, size) for size in sizes]


def test_fragments_become_one_message_and_let_control_frames_through() -> None:
    """RFC 6455, section 5.4: a ping may come between the fragments of a message."""
    data = (
        server_frame(Opcode.TEXT, b"a", fin=False)
        + server_frame(Opcode.PING, b"p")
        + server_frame(Opcode.CONT, b"b", fin=False)
        + server_frame(Opcode.CONT, b"c")
    )
    assert Messages().feed(data) == [Message(PING, b"p"), Message(TEXT, b"abc")]


@pytest.mark.parametrize(
    "data", [b"\x81\x80", b"\xc1\x00", b"\x80\x00", server_frame(Opcode.TEXT, b"a", fin=False) * 2]
)
def test_what_no_server_may_send_is_refused(data: bytes) -> None:
    """A masked frame, an extension nobody asked for, a fragment of nothing, a message within another."""
    with pytest.raises(BadAnswer):
        Messages().feed(data)


def test_a_close_frame_has_code_and_reason() -> None:
    """Codes tell a client whether to come back; without one it is 1005 (RFC 6455, section 7.1.5)."""
    [message] = Messages().feed(server_frame(Opcode.CLOSE, b"\x0b\xb9shutdown"))
    assert message.opcode == CLOSE
    assert close_code(message.data) == (3001, "shutdown")
    assert close_code(b"") == (1005, "")
