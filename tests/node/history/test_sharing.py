"""Reads of the same are shared, and are never older than whoever gets them."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.broker.interface import BrokerUnavailable
from node.history.sharing import SharedReads


class Store:
    """Answers a read, a second later, with how many were begun; counts those under way."""

    def __init__(self) -> None:
        self.begun = self.now = self.most = 0
        self.failure: BrokerUnavailable | None = None

    async def read(self, _key: str) -> int:
        self.begun += 1
        number = self.begun
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep(1)
        finally:
            self.now -= 1
        if self.failure is not None:
            raise self.failure
        return number


async def test_who_comes_meanwhile_shares_the_next(autojump_clock: MockClock) -> None:
    """A crowd costs two reads: the one under way is older than those who came after it began."""
    store, found = Store(), []

    async def ask() -> None:
        found.append(await reads.get("a"))

    async with trio.open_nursery() as nursery:
        reads = SharedReads(store.read, nursery.start_soon, at_once=5)
        nursery.start_soon(ask)
        await trio.sleep(0.5)
        for _ in range(100):
            nursery.start_soon(ask)
        await trio.sleep(0.1)
        for _ in range(100):
            nursery.start_soon(ask)
    assert sorted(found) == [1] + [2] * 200
    assert (store.begun, store.most) == (2, 1)


async def test_reads_of_others_take_turns(autojump_clock: MockClock) -> None:
    """Different keys are read at the same time, as many as are allowed."""
    store = Store()
    async with trio.open_nursery() as nursery:
        reads = SharedReads(store.read, nursery.start_soon, at_once=5)
        for number in range(20):
            nursery.start_soon(reads.get, f"c{number}")
    assert (store.begun, store.most) == (20, 5)


async def test_who_gives_up_costs_nobody_anything(autojump_clock: MockClock) -> None:
    """The first one may go: the others get what was read; and nothing is read for nobody."""
    store, found = Store(), []

    async def ask() -> None:
        found.append(await reads.get("a"))

    async with trio.open_nursery() as nursery:
        reads = SharedReads(store.read, nursery.start_soon, at_once=1)
        with trio.move_on_after(0.5):
            nursery.start_soon(ask)
            await reads.get("a")
        # Gives up while another read has the only turn.
        with trio.move_on_after(0.1):
            await reads.get("b")
    assert (found, store.begun) == ([1], 1)


async def test_failures_reach_all_and_the_next_one_tries_again(autojump_clock: MockClock) -> None:
    """Everybody who shared a read has its failure, each as an exception of their own."""
    store, caught = Store(), []
    store.failure = BrokerUnavailable("no answer")

    async def ask() -> None:
        with pytest.raises(BrokerUnavailable, match="no answer") as error:
            await reads.get("a")
        caught.append(error.value)

    async with trio.open_nursery() as nursery:
        reads = SharedReads(store.read, nursery.start_soon, at_once=1)
        async with trio.open_nursery() as asking:
            for _ in range(3):
                asking.start_soon(ask)
        store.failure = None
        assert await reads.get("a") == 2
    assert len(set(map(id, caught))) == 3


async def test_stopping_leaves_nobody_waiting(autojump_clock: MockClock) -> None:
    """Who waits for a read when the node stops is told."""
    caught = []

    async def ask() -> None:
        with pytest.raises(BrokerUnavailable, match="stopping") as error:
            await reads.get("a")
        caught.append(error.value)

    async with trio.open_nursery() as asking, trio.open_nursery() as nursery:
        reads = SharedReads(Store().read, nursery.start_soon, at_once=1)
        asking.start_soon(ask)
        await trio.sleep(0.5)
        asking.start_soon(ask)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(caught) == 2
