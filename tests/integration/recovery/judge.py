"""What the recovery test holds against the promises: pure functions of what was accepted and what was seen.

A client's record of a channel is a list of facts in the order they happened to it. The judge knows nothing
of nodes, brokers or transports.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple


class Position(NamedTuple):
    """A place in a channel, as clients know it."""

    epoch: str
    offset: int


class Subscribed(NamedTuple):
    """The node granted a subscription.

    Attributes:
        position: the result's epoch and offset.
        since: the position the client came with, None if it asked for no recovery.
        recovered: what the node said.
    """

    position: Position
    since: Position | None
    recovered: bool


class Seen(NamedTuple):
    """A publication reached the client."""

    offset: int
    value: str


@dataclass
class Record:
    """What one client saw of one channel."""

    client: str
    channel: str
    facts: list[Subscribed | Seen] = field(default_factory=list)

    def position(self) -> Position | None:
        """Where an SDK would recover from: the last position granted or seen."""
        position: Position | None = None
        for fact in self.facts:
            if isinstance(fact, Subscribed):
                if not fact.recovered:
                    position = fact.position
            elif position is not None:
                position = Position(position.epoch, max(position.offset, fact.offset))
        return position


@dataclass
class Publications:
    """What publishers did.

    Attributes:
        attempted: every value somebody tried to publish.
        accepted: channel and epoch -> offset -> value.
    """

    attempted: set[str] = field(default_factory=set)
    accepted: dict[tuple[str, str], dict[int, str]] = field(default_factory=lambda: defaultdict(dict))

    def accept(self, channel: str, position: Position, value: str) -> None:
        """A publish call was answered with a position."""
        self.accepted[channel, position.epoch][position.offset] = value


def violations(record: Record, publications: Publications, *, final: bool = True) -> list[str]:
    """Every broken promise in one client's record of one channel.

    Args:
        record: what the client saw.
        publications: what was published while it was there.
        final: whether the client had the time to catch up: what was accepted last must have been seen.
    """
    found: list[str] = []
    where = f"{record.client} in {record.channel}"
    base: Position | None = None
    seen: dict[int, str] = {}
    # A value that was stored twice has two offsets.
    values: set[str] = set()
    last = 0

    def close(*, caught_up: bool) -> None:
        """Judge the stretch from `base`, in which nothing may be missing."""
        if base is None:
            return
        accepted = publications.accepted.get((record.channel, base.epoch), {})
        for offset, value in accepted.items():
            entitled = offset > base.offset and (caught_up or offset <= last)
            if entitled and offset not in seen:
                found.append(f"lost: {where}: {value} at {offset} (base {base.offset}, last seen {last})")
        for offset, value in seen.items():
            if accepted.get(offset, value) != value or value not in publications.attempted:
                found.append(f"invented: {where}: {value} at {offset}")

    for fact in record.facts:
        if isinstance(fact, Seen):
            if base is None:
                found.append(f"early: {where}: {fact.value} before any subscription")
            elif fact.offset in seen or fact.value in values:
                found.append(f"doubled: {where}: {fact.value} at {fact.offset}")
            elif fact.offset <= last:
                found.append(f"disordered: {where}: {fact.value} at {fact.offset} after {last}")
            seen[fact.offset] = fact.value
            values.add(fact.value)
            last = max(last, fact.offset)
        elif fact.recovered:
            if fact.since is None or base is None or fact.since != (base.epoch, last):
                found.append(f"false recovery: {where}: recovered from {fact.since}, was at {base}, {last}")
        else:
            close(caught_up=False)
            base, seen, last = fact.position, {}, fact.position.offset
            values = set()
    close(caught_up=final)
    return found


def caught_up(record: Record, publications: Publications) -> bool:
    """Whether the client has seen the newest accepted publication of the epoch it is in."""
    position = record.position()
    if position is None:
        return False
    accepted = publications.accepted.get((record.channel, position.epoch), {})
    return position.offset >= max(accepted, default=0)
