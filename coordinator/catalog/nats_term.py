"""Who leads, by compare-and-set on one key of a bucket.

A leader counts up its entry; who saw no count for the time to live of a leader, by its own clock, may
replace it. Two that try at once read the same revision, and one fails. A fence is the last one's plus one,
written with the same compare-and-set: so it grows as long as the entry is there, and who resigns leaves it.
See `Board.fence_above` for a bucket that was emptied.
"""

from typing import Protocol

from coordinator.catalog.interface import Conflict
from protos.catalog_pb2 import Leader


class LeaderKey:
    """The leader's entry as it was seen.

    Args:
        ttl_s: how long a silent leader leads, seconds.

    Attributes:
        value: the entry; without a name nobody leads.
        revision: of the entry, 0 if there is none.
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._counted_at = float("-inf")
        self.value = Leader()
        self.revision = 0

    def restart(self, now: float) -> None:
        """The entry is read anew: silence until now was perhaps ours."""
        self._counted_at = now
        self.value = Leader(fence=self.value.fence)
        self.revision = 0

    def seen(self, value: Leader, revision: int, now: float) -> None:
        """The entry is so; called with every revision once."""
        self.value, self.revision, self._counted_at = value, revision, now

    def leads(self, now: float) -> bool:
        """Whether somebody leads."""
        return bool(self.value.name) and now - self._counted_at < self._ttl_s


class LeaderStore(Protocol):
    """Where the entry is."""

    async def put_leader(self, leader: Leader, revision: int) -> int:
        """Write it if it still has this revision, else Conflict; returns the new one."""

    async def read_leader(self) -> tuple[Leader, int]:
        """The entry and its revision; an empty one and 0 if there is none."""


class NatsTerm:
    """See `coordinator.catalog.interface.Term`.

    Args:
        store: where the entry is.
        leader: as it was written.
        revision: of that.
    """

    def __init__(self, store: LeaderStore, leader: Leader, revision: int) -> None:
        self._store = store
        self._leader = leader
        self._revision = revision
        self.fence = leader.fence

    async def renew(self) -> bool:
        """See `Term.renew`."""
        self._leader.renewals += 1
        return await self._put(self._leader)

    async def resign(self) -> None:
        """See `Term.resign`."""
        await self._put(Leader(fence=self.fence))

    async def _put(self, leader: Leader) -> bool:
        try:
            self._revision = await self._store.put_leader(leader, self._revision)
        except Conflict:
            # Perhaps it is our own write, whose answer was lost: nobody else writes our fence.
            found, revision = await self._store.read_leader()
            if found.name != self._leader.name or found.fence != self.fence:
                return False
            try:
                self._revision = await self._store.put_leader(leader, revision)
            except Conflict:
                return False
        return True
