"""When a stream's epoch ends."""

import pytest

from node.broker.nats.epoch import Finding, Marker, Step, decide, decode_marker, encode_marker, epoch_of

MARKER = Marker("id", 10)


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (Finding(MARKER, age_s=10, max_age_s=100, limit=10, last=7, seen=7), Step.KEEP),
        (Finding(None, age_s=0, max_age_s=100, limit=10, last=7, seen=7), Step.REPLACE),
        (Finding(MARKER, age_s=51, max_age_s=100, limit=10, last=7, seen=7), Step.RENEW),
        (Finding(MARKER, age_s=1e9, max_age_s=float("inf"), limit=10, last=7, seen=7), Step.KEEP),
        (Finding(MARKER, age_s=10, max_age_s=100, limit=10, last=6, seen=7), Step.PROBE),
        (Finding(MARKER, age_s=10, max_age_s=100, limit=11, last=7, seen=7), Step.REPLACE),
        (Finding(MARKER, age_s=10, max_age_s=100, limit=9, last=7, seen=7), Step.RENEW),
        (Finding(Marker("id", 10, retired=True), 10, 100, 10, 7, 7), Step.REPLACE),
        (Finding(Marker("id", 10, partitions=2), 10, 100, 10, 7, 7, partitions=2), Step.KEEP),
        (Finding(Marker("id", 10, partitions=2), 10, 100, 10, 7, 7, partitions=3), Step.REPLACE),
        (Finding(MARKER, 10, 100, 10, 7, 7, partitions=3), Step.RENEW),
    ],
)
def test_decide(found: Finding, step: Step) -> None:
    """A marker is kept, renewed before it expires, probed when sequences are missing, replaced when lost."""
    assert decide(found) is step


def test_markers_come_back() -> None:
    """What one node writes another reads; anything else in its place is no marker."""
    assert decode_marker(encode_marker(MARKER)) == MARKER
    deep = b'{"id":"a","limit":2,"future":' + b"[" * 100_000
    for payload in (b"", b"{}", b'{"id":1,"limit":2}', b"\xff", b'{"id":"\xff","limit":2}', deep):
        assert decode_marker(payload) is None


def test_epoch_says_creation_and_marker() -> None:
    """Another creation or another marker is another epoch."""
    assert epoch_of(255, MARKER) == "ffid"
    assert len({epoch_of(1, MARKER), epoch_of(2, MARKER), epoch_of(1, Marker("x", 10))}) == 3
