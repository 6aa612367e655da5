"""Keys and values of the catalog."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.catalog_format import (
    META_BYTES_MAX,
    Undecodable,
    decode,
    encode,
    from_meta,
    order_key,
    plan_key,
    segment,
    to_meta,
    unsegment,
)
from protos.catalog_pb2 import Address, Leaving, Moving, NodeReport, Order, Plan

REPORT = NodeReport(
    name="n1",
    instance="ab",
    number=2**60,
    state=NodeReport.LEAVING,
    reason="told to",
    addresses=[
        Address(transport="sse", url="http://h:1/sse"),
        Address(transport="ws", url="ws://h:1/ws"),
    ],
    connections=12,
    connect_cost_s=0.0003,
    memory_bytes=2**40,
    leaving=Leaving(phase=Leaving.SENDING, plan_id="p", rate=1.5, on_its_own=True),
    moving=Moving(plan_id="m", count=3),
)


@given(st.text(min_size=1))
def test_every_name_has_a_key_of_its_own(name: str) -> None:
    """A segment holds only what both catalogs take in a key, and leads back to its name."""
    allowed = set(string.ascii_letters + string.digits + "-_=")
    assert set(segment(name)) <= allowed
    assert unsegment(segment(name)) == name


def test_keys_are_as_written_down() -> None:
    """Keys are those of protos/catalog.proto, with odd characters escaped."""
    assert order_key("node-1") == "orders/node-1"
    assert order_key("a.b/c=d") == "orders/a=2Eb=2Fc=3Dd"
    assert plan_key("x1") == "plans/x1"


def test_a_segment_of_no_name_is_refused() -> None:
    """What somebody else wrote into the catalog does not stop its readers."""
    with pytest.raises(Undecodable):
        unsegment("=FF")


def test_values_are_json_with_our_names() -> None:
    """People can read values, and a value leads back to its message."""
    assert b'"connect_cost_s": 0.0003' in encode(REPORT)
    assert b"\n" not in encode(REPORT)
    assert decode(NodeReport, encode(REPORT)) == REPORT


def test_what_a_newer_version_wrote_is_read() -> None:
    """Unknown fields are skipped: two versions live side by side during a deploy."""
    assert decode(Order, '{"node": "n", "colour": "red"}') == Order(node="n")
    assert from_meta({"name": "n", "colour": "red"}) == NodeReport(name="n")


@pytest.mark.parametrize("value", [b"", b"{", b'{"state": {}}', b"\xff"])
def test_what_is_no_message_is_refused(value: bytes) -> None:
    """A damaged value is told from an empty one."""
    with pytest.raises(Undecodable):
        decode(Plan, value)


def test_meta_holds_every_field() -> None:
    """A report survives the meta of a Consul service, which knows texts only."""
    meta = to_meta(REPORT)
    assert all(set(key) <= set(string.ascii_letters + string.digits + "-_") for key in meta)
    assert meta["address_ws"] == "ws://h:1/ws"
    assert from_meta(meta) == REPORT


def test_meta_keeps_consuls_limits() -> None:
    """Words that are too long are cut, between characters."""
    report = NodeReport(name="n", reason="é" * META_BYTES_MAX)
    assert len(to_meta(report)["reason"].encode()) == META_BYTES_MAX
    # Of every field there is, and every transport: below 64 keys.
    assert len(NodeReport.DESCRIPTOR.fields) + 10 < 64


@pytest.mark.parametrize("meta", [{"name": "n", "leaving": "{"}, {"name": "n", "connections": "many"}, {}])
def test_meta_that_is_no_report_is_refused(meta: dict[str, str]) -> None:
    """A service somebody else registered does not stop the readers."""
    with pytest.raises(Undecodable):
        from_meta(meta)
