"""The shared clock hand wakes each session at its last armed moment, once."""

import trio
from trio.testing import MockClock

from node.timers import Timers
from tests.patience import PATIENCE_S


class Item:
    def __init__(self) -> None:
        self.due = 0
        self.woken: list[float] = []

    def tick(self, now: float) -> None:
        self.woken.append(now)


async def test_an_item_is_woken_once_at_its_moment(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Never early, at most one tick late."""
    timers, item = Timers(0.1), Item()
    nursery.start_soon(timers.run)
    moment = trio.current_time() + 1.03
    timers.arm(item, moment)
    await trio.sleep(5)
    assert len(item.woken) == 1
    assert 0 <= item.woken[0] - moment <= 0.11


async def test_arming_again_replaces_and_disarming_forgets(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Only the last armed moment counts."""
    timers, moved, stopped = Timers(0.1), Item(), Item()
    nursery.start_soon(timers.run)
    now = trio.current_time()
    timers.arm(moved, now + 1)
    timers.arm(moved, now + 2)
    timers.arm(stopped, now + 1)
    timers.disarm(stopped)
    await trio.sleep(1.5)
    assert moved.woken == []
    await trio.sleep(1)
    assert len(moved.woken) == 1
    assert stopped.woken == []


async def test_an_item_may_move_or_forget_another_of_the_same_moment(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What one is woken for changes the others' moments before they are woken."""
    timers, moved, stopped = Timers(0.1), Item(), Item()

    class Mover(Item):
        def tick(self, now: float) -> None:
            super().tick(now)
            timers.arm(moved, now + 1)
            timers.disarm(stopped)

    nursery.start_soon(timers.run)
    now = trio.current_time()
    for item in (Mover(), moved, stopped):
        timers.arm(item, now + 1)
    await trio.sleep(1.5)
    assert (moved.woken, stopped.woken) == ([], [])
    await trio.sleep(1)
    assert (len(moved.woken), stopped.woken) == (1, [])


async def test_a_moment_in_the_past_is_the_next_tick(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Nothing armed is ever lost."""
    timers, item = Timers(0.1), Item()
    nursery.start_soon(timers.run)
    await trio.sleep(3)
    timers.arm(item, 0.0)
    await trio.sleep(0.2)
    assert len(item.woken) == 1


async def test_a_loop_that_stood_still_wakes_everything_due(nursery: trio.Nursery) -> None:
    """Moments passed while the loop was busy are not skipped."""
    clock_items = [Item() for _ in range(3)]
    timers = Timers(0.01)
    nursery.start_soon(timers.run)
    await trio.testing.wait_all_tasks_blocked()
    now = trio.current_time()
    for index, item in enumerate(clock_items):
        timers.arm(item, now + 0.02 * index)
    while trio.current_time() < now + 0.1:
        pass
    with trio.fail_after(PATIENCE_S):
        while not all(item.woken for item in clock_items):
            await trio.lowlevel.checkpoint()
