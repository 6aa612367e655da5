"""The broker in memory keeps every broker's promises."""

import random

import pytest
import trio

from node.broker.interface import Message
from node.broker.memory import MemoryBroker, MemoryStore
from tests.contracts.broker import BRIEF, HISTORY, NAMESPACES, BrokerContract, MakeBroker, publish


class TestMemory(BrokerContract):
    """The contract, on a clock that runs by itself while everybody waits."""

    @pytest.fixture
    def make_broker(self, autojump_clock: trio.testing.MockClock) -> MakeBroker:
        """Brokers over one store."""
        store = MemoryStore(NAMESPACES, random.Random(1))

        async def make() -> MemoryBroker:
            return MemoryBroker(store)

        return make


@pytest.fixture
def store() -> MemoryStore:
    """A store with a short window of ids."""
    return MemoryStore(NAMESPACES, random.Random(1), duplicate_window_s=5)


async def test_message_ids_are_forgotten_after_their_window(
    store: MemoryStore, autojump_clock: trio.testing.MockClock
) -> None:
    """A key finds the first message within the window and means a new one after it."""
    broker = MemoryBroker(store)
    first = await broker.publish("news", Message(b"a"), HISTORY, "key")
    await trio.sleep(4.9)
    assert await broker.publish("news", Message(b"a"), HISTORY, "key") == first
    await trio.sleep(0.2)
    assert await broker.publish("news", Message(b"a"), HISTORY, "key") != first


async def test_expired_channels_leave_nothing_behind(
    store: MemoryStore, autojump_clock: trio.testing.MockClock
) -> None:
    """Memory does not grow with channels whose messages have all expired."""
    broker = MemoryBroker(store)
    for number in range(100):
        await publish(broker, f"brief:{number}", "x", history=BRIEF)
    await trio.sleep(2)
    await publish(broker, "brief:new", "x", history=BRIEF)
    assert list(store.namespace_of("brief:new").channels) == ["brief:new"]


async def test_part_of_a_channel_expires(store: MemoryStore, autojump_clock: trio.testing.MockClock) -> None:
    """Messages expire one by one, and positions below the ones removed prove nothing."""
    broker = MemoryBroker(store)
    (first,) = await publish(broker, "brief:a", "1", history=BRIEF)
    await trio.sleep(0.3)
    (second,) = await publish(broker, "brief:a", "2", history=BRIEF)
    await trio.sleep(0.3)
    assert (await broker.read("brief:a", first, 10)).complete
    page = await broker.read("brief:a", first - 1, 10)
    assert ([live.offset for live in page.messages], page.complete) == ([second], False)


async def test_epochs_come_from_the_given_randomness() -> None:
    """The same seed gives the same epochs, another one others."""

    async def epoch(seed: int) -> str:
        return (await MemoryBroker(MemoryStore(NAMESPACES, random.Random(seed))).heads(["a"]))["a"].epoch

    assert await epoch(1) == await epoch(1) != await epoch(2)


async def test_run_stands_until_cancelled(store: MemoryStore, autojump_clock: trio.testing.MockClock) -> None:
    """A node can start and stop it like any other broker, and it is never cut off."""
    broker = MemoryBroker(store)
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run, None)  # type: ignore[arg-type]  # it tells nobody anything
        assert (broker.connected, broker.disconnected_for_s) == (True, 0.0)
        nursery.cancel_scope.cancel()
