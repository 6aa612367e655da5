"""What may be said to a client that comes back with a position. Pure rules, time is an argument.

The rule above all: what cannot be proven is `recovered: false`. Source: the client protocol, section 6
of the reference, and the recovery rule of the store.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from node.broker.interface import Live, Page
from node.history.tail import Kept, Tail
from node.protocol.messages import Publication, StreamPosition


class Joined(NamedTuple):
    """How a subscription begins.

    Attributes:
        position: for the subscribe result: the request's offset after a recovery, since the client
            advances while it applies `publications`; the channel's top otherwise; None if the channel
            keeps no history.
        recovered: the client has missed nothing but `publications`.
        publications: what it missed, in order; empty unless recovered.
        top: the channel's position now, whatever was asked; live publications follow it.
    """

    position: StreamPosition | None
    recovered: bool = False
    publications: tuple[Publication, ...] = ()
    top: StreamPosition | None = None


class Refusal(Enum):
    """Why a recovery is not possible; the metric's label."""

    EPOCH = "epoch"  # the position is of another sequence
    AHEAD = "position_ahead"  # the store never got that far
    REMOVED = "removed"  # something since then is gone, or cannot be proven to be there
    LIMIT = "limit"  # more was missed than one answer may carry
    EXPIRED = "ttl"  # something since then is older than history_ttl


class Need(Enum):
    """What must be done before the question can be answered."""

    READ = "read"  # the store must be read from the position on
    CATCH_UP = "catch_up"  # the position is above what this node has seen


class Stretch(NamedTuple):
    """What a page says about a channel.

    Attributes:
        base: everything after it and up to `reach` is in `messages`.
        reach: how far the page goes.
        messages: ascending by offset.
        floor: positions below cannot be proven, now or ever.
    """

    base: int
    reach: int
    messages: tuple[Live, ...]
    floor: int = 0


def stretch_of(page: Page, since: int) -> Stretch:
    """What a page read after `since` proves.

    A page that is not complete proves nothing of what it shows: messages may have been removed even
    between two of them, while it was put together. But it says which positions are lost: `since` itself;
    all below a tombstone; and all below its first message if it was cut, since they miss as much.
    """
    messages = page.messages
    last = messages[-1].offset if messages else since
    cut = not page.complete and last < page.head.offset
    reach = last if cut else max(page.head.up_to, last)
    if page.complete:
        return Stretch(since, reach, messages)
    floor = since + 1 if reach > since else 0
    if cut and messages:
        floor = messages[0].offset
    floor = max([floor, *(message.offset for message in messages if message.tombstone)])
    return Stretch(reach, reach, (), floor)


def answer(
    since: StreamPosition, epoch: str, seen: int, tail: Tail, floor: int, limits: "Limits", now_ms: float
) -> list[Kept] | Refusal | Need:
    """What a client at `since` missed, or why nobody can say, or what must be read first.

    Args:
        since: the client's position; an empty epoch stands for any (reference, section 6).
        epoch: of the channel.
        seen: up to where this node has accounted for the channel.
        tail: of the channel.
        floor: positions below are known to be unprovable.
        limits: of the channel's recoveries.
        now_ms: the time, milliseconds since 1970.
    """
    if since.epoch and since.epoch != epoch:
        return Refusal.EPOCH
    if since.offset > seen:
        return Need.CATCH_UP
    missed = tail.since(since.offset)
    if missed is None:
        if since.offset < floor:
            return Refusal.REMOVED
        if len(tail) + tail.base_stored > limits.publications:
            return Refusal.LIMIT
        return Need.READ
    if len(missed) > limits.publications:
        return Refusal.LIMIT
    if missed and missed[0].time_ms < now_ms - limits.ttl_s * 1000:
        return Refusal.EXPIRED
    return missed


class Limits(NamedTuple):
    """What one recovery may bring back.

    Attributes:
        publications: at most; the smaller of history_size and the configured limit.
        ttl_s: history_ttl, seconds.
    """

    publications: int
    ttl_s: float


def visible(messages: Sequence[Live], size: int, ttl_s: float, now_ms: float) -> list[Live]:
    """What a reader of history sees: above the last tombstone, not older than `ttl_s`, the last `size`.

    Args:
        messages: ascending by offset.
        size: history_size.
        ttl_s: history_ttl, seconds.
        now_ms: the time, milliseconds since 1970.
    """
    shown: list[Live] = []
    oldest_ms = now_ms - ttl_s * 1000
    for message in messages:
        if message.tombstone:
            shown = []
        elif message.time_ms >= oldest_ms:
            shown.append(message)
    return shown[-size:]
