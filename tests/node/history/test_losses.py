"""Telling clients at a pace."""

import trio
import trio.testing

from node.history.losses import Losses
from tests.fakes.clients import RecordingClient
from tests.fakes.store import Store


def clients(count: int) -> list[RecordingClient]:
    store = Store()
    each = [RecordingClient("a", store) for _ in range(count)]
    for client in each:
        client.subscribe()
    return each


async def test_told_at_the_rate(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """A thousand clients at a hundred per second take ten seconds, and none of them is forgotten."""
    losses = Losses(100)
    nursery.start_soon(losses.run)
    lost = clients(1000)
    losses.add(client.subscription for client in lost)

    await trio.sleep(5)
    assert 450 <= sum(client.lost for client in lost) <= 550
    await trio.sleep(6)
    assert all(client.lost for client in lost)
    assert len(losses) == 0
    nursery.cancel_scope.cancel()


async def test_first_are_told_at_once(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """A few clients do not wait."""
    losses = Losses(1000)
    nursery.start_soon(losses.run)
    await trio.testing.wait_all_tasks_blocked()
    lost = clients(3)
    losses.add(client.subscription for client in lost)
    await trio.testing.wait_all_tasks_blocked()

    assert all(client.lost for client in lost)
    nursery.cancel_scope.cancel()


async def test_who_left_is_not_told(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """Also when another's being told makes it leave."""
    losses = Losses(1000)
    first, second = clients(2)
    losses.add([first.subscription, second.subscription])
    first.subscription_lost = lambda _: losses.discard(second.subscription)
    nursery.start_soon(losses.run)
    await trio.sleep(1)

    assert not second.lost
    nursery.cancel_scope.cancel()
