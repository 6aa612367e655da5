"""Publications as NATS messages: everything comes back, and nothing a stranger writes can hurt."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from node.broker.interface import Live, Message
from node.broker.nats.envelope import (
    Decoder,
    encode_headers,
    encode_tombstone,
    message_id,
    random_message_id,
    server_number,
    server_value,
    time_ms,
)
from node.protocol.messages import ClientInfo

TEXT = st.text(max_size=20)
RAWS = st.binary(max_size=20).map(Raw)
INFOS = st.builds(ClientInfo, TEXT, TEXT, RAWS, RAWS)
TAGS = st.dictionaries(TEXT, TEXT, min_size=1)
MESSAGES = st.builds(Message, st.binary(), st.none() | INFOS, st.none() | TAGS)
SERVER = (
    b"Nats-Stream: b-_-0\r\nNats-Subject: b.store._.0.a\r\nNats-Sequence: 7\r\n"
    b"Nats-Time-Stamp: 2026-01-02T03:04:05.0607Z\r\nNats-Last-Sequence: 3\r\n\r\n"
)
TIME_MS = 1_767_323_045_060


def stored(block: bytes) -> bytes:
    """A block as the server returns it: what it adds is behind the publisher's."""
    return (block[:-2] if block else b"NATS/1.0\r\n") + SERVER


@given(MESSAGES, st.sampled_from([b"", b"id"]))
def test_every_message_comes_back(message: Message, nats_message_id: bytes) -> None:
    """Whatever a publication's attributes hold, they arrive unchanged, stored or plain, in clean headers."""
    decoder = Decoder()
    block = encode_headers(message, nats_message_id)
    assert decoder.decode(block, message.data) == Live(message)
    assert decoder.decode(stored(block), message.data) == Live(message, 7, 3, TIME_MS)
    assert decoder.undecodable == 0
    lines = block.split(b"\r\n")
    assert all(line == b"" or line == b"NATS/1.0" or b": " in line for line in lines)
    assert block.isascii()
    assert b"\n" not in block.replace(b"\r\n", b"")


def test_a_bare_message_has_no_headers() -> None:
    """A plain message with nothing but data costs no header block."""
    assert encode_headers(Message(b"x")) == b""


def test_tombstone() -> None:
    """A tombstone says so, with what it was stored on top of."""
    block = encode_tombstone(b"id", 5)
    assert b"\r\nNats-Expected-Last-Subject-Sequence: 5\r\n" in block
    assert Decoder().decode(stored(block), b"") == Live(Message(b""), 7, 3, TIME_MS, tombstone=True)


def test_strangers_cannot_speak_for_the_server() -> None:
    """Headers with the server's names that the publisher wrote are not believed."""
    block = b"NATS/1.0\r\nNats-Stream: x\r\nNats-Sequence: 99\r\nNats-Last-Sequence: 98\r\n\r\n"
    assert Decoder().decode(stored(block), b"") == Live(Message(b""), 7, 3, TIME_MS)
    assert server_number(stored(block), b"Nats-Sequence") == 7


@pytest.mark.parametrize(
    "header",
    [
        b"Broadcast-Info: {",
        b'Broadcast-Info: {"conn_info":"%%%"}',
        b'Broadcast-Info: {"user":"\xff"}',
        b"Broadcast-Info",
        b'Broadcast-Tags: {"a":1}',
        b"Broadcast-Tags: []",
        b'Broadcast-Info: {"future":' + b"[" * 100_000,
    ],
)
def test_a_spoiled_header_costs_one_attribute(header: bytes) -> None:
    """The message is delivered without what cannot be read, with all the rest, and it is counted."""
    decoder = Decoder()
    block = b"NATS/1.0\r\n%b\r\nBroadcast-Tombstone: 1\r\n\r\n" % header
    assert decoder.decode(stored(block), b"x") == Live(Message(b"x"), 7, 3, TIME_MS, tombstone=True)
    assert decoder.undecodable == 1


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_garbage_never_raises(garbage: bytes, more: bytes) -> None:
    """No header block, however broken, keeps a payload from its channel."""
    for block in (
        garbage,
        stored(b"NATS/1.0\r\n%b\r\n\r\n" % garbage),
        b"NATS/1.0\r\nBroadcast-Info:" + garbage,
        SERVER + more,
    ):
        assert Decoder().decode(block, b"payload").message.data == b"payload"


@given(st.integers(0, 7_000_000_000_000_000))
def test_times(microseconds: int) -> None:
    """Times of the server are read to the millisecond, however many decimals it writes."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    stamp = moment.isoformat().removesuffix("+00:00").encode()
    stripped = stamp.rstrip(b"0") if b"." in stamp else stamp
    for written in (stamp, stripped):
        assert time_ms(written + b"Z") == microseconds // 1000


@given(st.binary(max_size=40))
def test_what_is_no_time_is_zero(stamp: bytes) -> None:
    """A time that cannot be read is none, and no error."""
    assert isinstance(time_ms(stamp), int)
    assert time_ms(b"yesterday") == 0
    assert time_ms(b"2026-13-45T99:99Z") == 0


def test_missing_server_values_are_empty() -> None:
    """Asking for what the server did not write gives nothing."""
    assert server_value(b"NATS/1.0\r\n\r\n", b"Nats-Subject") == b""
    assert server_number(SERVER, b"Nats-Num-Pending") == 0


KEYS = st.text(min_size=1, max_size=90)


@given(KEYS, KEYS, KEYS, KEYS)
def test_message_ids_are_the_channels_own(channel: str, key: str, other: str, other_key: str) -> None:
    """Two pairs of channel and key share an id only if they are the same pair, long ones too."""
    same = (channel, key) == (other, other_key)
    assert (message_id(channel, key) == message_id(other, other_key)) == same
    assert message_id(channel, key) != random_message_id(channel, 1)
    assert len(message_id(channel, key)) <= 128


def test_random_ids_differ() -> None:
    """Messages without a key have ids of their own."""
    assert random_message_id("a", 1) != random_message_id("a", 2) != random_message_id("b", 2)
