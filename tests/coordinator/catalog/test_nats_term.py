"""Leading by compare-and-set: who leads, and what a term does when answers are lost."""

import pytest

from coordinator.catalog.interface import CatalogUnavailable, Conflict
from coordinator.catalog.nats_term import LeaderKey, NatsTerm
from protos.catalog_pb2 import Leader

TTL_S = 5.0


class Store:
    """One key, whose writes can lose their answers."""

    def __init__(self, value: Leader, revision: int) -> None:
        self.value, self.revision = value, revision
        self.loses_answers = False

    async def put_leader(self, leader: Leader, revision: int) -> int:
        if revision != self.revision:
            raise Conflict("changed")
        self.value, self.revision = Leader(), self.revision + 3
        self.value.CopyFrom(leader)
        if self.loses_answers:
            raise CatalogUnavailable("no answer")
        return self.revision

    async def read_leader(self) -> tuple[Leader, int]:
        return self.value, self.revision


def led() -> tuple[Store, NatsTerm]:
    store = Store(Leader(name="c1", fence=4, renewals=1), 9)
    return store, NatsTerm(store, Leader(name="c1", fence=4, renewals=1), 9)


async def test_renewing_counts() -> None:
    """Every renewal changes the entry, which is what others look for."""
    store, term = led()
    assert [await term.renew() for _ in range(3)] == [True] * 3
    assert store.value == Leader(name="c1", fence=4, renewals=4)


async def test_a_lost_answer_ends_no_term() -> None:
    """A renewal that was written without our hearing of it is recognized as our own."""
    store, term = led()
    store.loses_answers = True
    with pytest.raises(CatalogUnavailable):
        await term.renew()
    store.loses_answers = False
    assert await term.renew()
    assert await term.renew()


@pytest.mark.parametrize("other", [Leader(name="c2", fence=5), Leader(name="c1", fence=5), Leader()])
async def test_another_term_is_not_ours(other: Leader) -> None:
    """Who was replaced, also by a process of its own name, or finds nothing, does not lead on."""
    store, term = led()
    store.value, store.revision = other, 50
    assert not await term.renew()
    await term.resign()
    assert store.value == other


async def test_resigning_leaves_the_fence() -> None:
    """The entry stays without a name, so that the next fence can be above this one."""
    store, term = led()
    await term.resign()
    assert store.value == Leader(fence=4)


def test_a_leader_leads_until_it_is_silent() -> None:
    """Silence counts from the last change seen, by our own clock."""
    key = LeaderKey(TTL_S)
    assert not key.leads(0)
    key.seen(Leader(name="c1", fence=1), 7, 10.0)
    assert key.leads(10 + TTL_S - 0.1)
    assert not key.leads(10 + TTL_S)
    key.seen(Leader(fence=1), 8, 16.0)
    assert not key.leads(16.0)


def test_a_leader_is_not_silent_because_we_were_deaf() -> None:
    """After a reconnect the entry is as old as our reading of it; the fence before is not forgotten."""
    key = LeaderKey(TTL_S)
    key.seen(Leader(name="c1", fence=3), 7, 0.0)
    key.restart(100.0)
    assert (key.revision, key.value.fence) == (0, 3)
    key.seen(Leader(name="c1", fence=3), 7, 100.0)
    assert key.leads(101.0)
