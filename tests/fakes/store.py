"""A store of messages as brokers have it, with its sequence, limits and a replica that lags. No I/O."""

from dataclasses import dataclass, field

from node.broker.interface import Head, Live, Message, Page


@dataclass(slots=True)
class _Operation:
    """What happened to the store: a message was stored, or everything below it was purged."""

    time_s: float
    channel: str
    live: Live
    purge: bool = False


@dataclass(slots=True)
class _Replica:
    """The store's content after some of its operations."""

    size: int
    meta_ttl_s: float
    applied: int = 0
    up_to: int = 0
    channels: dict[str, list[Live]] = field(default_factory=dict)

    def apply(self, operation: _Operation) -> None:
        stored = self.channels.setdefault(operation.channel, [])
        if operation.purge:
            stored[:] = [live for live in stored if live.offset >= operation.live.offset]
            return
        stored.append(operation.live)
        # As the real store does: one more than readers see, so that a full page can be proven.
        del stored[: -(self.size + 1)]
        self.up_to = operation.live.offset

    def expire(self, now_s: float) -> None:
        oldest_ms = (now_s - self.meta_ttl_s) * 1000
        for stored in self.channels.values():
            while stored and stored[0].time_ms < oldest_ms:
                del stored[0]

    def first(self) -> int:
        return min((stored[0].offset for stored in self.channels.values() if stored), default=self.up_to + 1)

    def head(self, channel: str, epoch: str) -> Head:
        stored = self.channels.get(channel)
        return Head(stored[-1].offset if stored else 0, self.up_to, epoch)

    def page(self, channel: str, since: int, limit: int, epoch: str) -> Page:
        stored = self.channels.get(channel, [])
        after = [live for live in stored if live.offset > since]
        proven = len(after) < len(stored) or (len(stored) <= self.size and since + 1 >= self.first())
        complete = (
            proven
            and since <= self.up_to
            and len(after) <= limit
            and not any(live.tombstone for live in after)
        )
        return Page(tuple(after[:limit]), complete, self.head(channel, epoch))


class Store:
    """One stream: a leader that is always right and a replica that is `lag_s` behind.

    Args:
        size: history_size.
        meta_ttl_s: how long messages are stored, seconds.

    Attributes:
        accepted: payload by offset of everything ever stored, by (epoch, channel); the tests' truth.
        lag_s: how far the replica is behind, seconds.
    """

    def __init__(self, size: int = 10, meta_ttl_s: float = 1e9) -> None:
        self.size = size
        self.meta_ttl_s = meta_ttl_s
        self.lag_s = 0.0
        self.accepted: dict[tuple[str, str], dict[int, bytes]] = {}
        self._generation = 0
        self._begin()

    def _begin(self) -> None:
        self._generation += 1
        self.epoch = f"e{self._generation}"
        # The marker takes the first place of the sequence.
        self.sequence = 1
        self._operations: list[_Operation] = []
        self._leader = _Replica(self.size, self.meta_ttl_s, up_to=1)
        self._follower = _Replica(self.size, self.meta_ttl_s, up_to=1)

    def lose(self) -> None:
        """Lose everything; the sequence begins again under another epoch."""
        self._begin()

    def add(self, channel: str, message: Message, now_s: float, *, tombstone: bool = False) -> Live:
        """Store a message; returns its live copy."""
        self._leader.expire(now_s)
        stored = self._leader.channels.get(channel)
        self.sequence += 1
        previous = stored[-1].offset if stored else 0
        live = Live(message, self.sequence, previous, int(now_s * 1000), tombstone)
        operations = [_Operation(now_s, channel, live)]
        if tombstone:
            operations.append(_Operation(now_s, channel, live, purge=True))
        else:
            self.accepted.setdefault((self.epoch, channel), {})[live.offset] = message.data
        for operation in operations:
            self._operations.append(operation)
            self._leader.apply(operation)
        return live

    def replica(self, now_s: float, *, leader: bool) -> _Replica:
        """Who answers a read made now."""
        replica = self._leader
        if not leader:
            replica = self._follower
            while replica.applied < len(self._operations):
                operation = self._operations[replica.applied]
                if operation.time_s > now_s - self.lag_s:
                    break
                replica.apply(operation)
                replica.applied += 1
        replica.expire(now_s)
        return replica
