"""The epoch of a stream: what its marker message says, and when a new one must be written. Pure.

An offset means something only while the stream's sequence runs on. The stream's creation time alone does
not tell: memory streams after a full restart, and a file stream of one replica that lost its disk, keep it
while sequences start again at 1. So a marker message inside the stream carries a random id; it is
lost with the stream's messages, and it is written with compare-and-set, so that of several nodes one wins.

The marker also carries the limit that proofs of completeness may count on: no message has been removed by
a lower limit since the marker's id was written. It follows a limit that is lowered, before the stream does
where `streams apply` lowers it; a raised limit is only counted on with a new id, since messages removed
by the old one are gone.

And it carries over how many streams its namespace is spread. A channel's number is its hash modulo that:
nodes with two counts would store a channel and look for it in different streams. The namespace's first
stream, which there is with any count, decides; see `keeper`.
"""

from dataclasses import dataclass
from enum import Enum

import msgspec
from msgspec import Struct

from node.protocol.json_text import UNDECODABLE

# A marker is written again at this share of the time after which the stream would drop it.
REFRESH_AT = 0.5


class Marker(Struct, frozen=True):
    """The payload of a marker message.

    Attributes:
        id: random; new whenever positions of before mean nothing any more.
        limit: messages per channel that proofs may count on.
        retired: history was switched off, or the stream is one too many: the next node that keeps history
            here writes a new id.
        partitions: streams the namespace is spread over, 0 in a marker that does not say.
    """

    id: str
    limit: int
    retired: bool = False
    partitions: int = 0


class Step(Enum):
    """What to do about a marker."""

    KEEP = "keep"
    RENEW = "renew"  # write it again with the same id
    PROBE = "probe"  # write it again with the same id: its own sequence tells whether the stream lost some
    REPLACE = "replace"  # write a new id


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a stream.

    Attributes:
        marker: the newest marker, None if there is none or it cannot be read.
        age_s: since that marker was stored, by the leader's clock.
        max_age_s: after which the stream drops messages.
        limit: messages per channel the stream keeps now.
        last: the stream's last sequence.
        seen: the highest sequence this node has seen in this epoch.
        partitions: streams the namespace is spread over now.
    """

    marker: Marker | None
    age_s: float
    max_age_s: float
    limit: int
    last: int
    seen: int
    partitions: int = 0


def decide(found: Finding) -> Step:
    """What a node does after looking at a stream."""
    if found.marker is None or found.marker.retired or found.limit > found.marker.limit:
        return Step.REPLACE
    if found.marker.partitions not in (0, found.partitions):
        # Written when the channels of this stream were others.
        return Step.REPLACE
    if found.last < found.seen:
        # A leader that has just been elected may not have applied everything yet: writing through it tells.
        return Step.PROBE
    if found.marker.partitions != found.partitions:
        return Step.RENEW
    if found.limit < found.marker.limit or found.age_s > found.max_age_s * REFRESH_AT:
        return Step.RENEW
    return Step.KEEP


def encode_marker(marker: Marker) -> bytes:
    """The payload of a marker message."""
    return msgspec.json.encode(marker)


def decode_marker(payload: bytes) -> Marker | None:
    """A marker, None if this is none."""
    try:
        return msgspec.json.decode(payload, type=Marker)
    except UNDECODABLE:
        return None


def epoch_of(created_ms: int, marker: Marker) -> str:
    """The epoch as clients see it: hexadecimal digits, the stream's creation and the marker's id.

    Args:
        created_ms: when the stream was created, milliseconds since 1970.
        marker: the stream's newest.
    """
    return f"{created_ms:x}{marker.id}"
