"""Reads take turns, so that what they bring is less than what a server cuts a feed for."""

import pytest
import trio

from node.broker.interface import BrokerUnavailable
from node.broker.nats.budget import ANSWER_BYTES, Budget
from node.broker.nats.patience import Patience


@pytest.mark.parametrize(
    ("bytes_max", "payload_max", "turns"),
    [(8 * ANSWER_BYTES, ANSWER_BYTES, 4), (8 * ANSWER_BYTES, 3 * ANSWER_BYTES, 2), (1, ANSWER_BYTES, 1)],
)
async def test_turns_are_as_many_as_fit(bytes_max: int, payload_max: int, turns: int) -> None:
    """An answer counts with what it is cut at and the message that may go over that; one always fits."""
    budget = Budget(bytes_max, lambda: payload_max)
    most = 0
    now = 0

    async def read() -> None:
        nonlocal most, now
        async with budget.turn(Patience(60)):
            now += 1
            most = max(most, now)
            await trio.testing.wait_all_tasks_blocked()
            now -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(read)
    assert (most, now) == (turns, 0)


async def test_waiting_for_a_turn_ends_with_the_patience(autojump_clock: trio.testing.MockClock) -> None:
    """Who gets no turn by its deadline is told so, and nobody loses a turn by that."""
    budget = Budget(1, lambda: 0)

    async def read_for_long() -> None:
        async with budget.turn(Patience(60)):
            await trio.sleep(30)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_for_long)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BrokerUnavailable, match="reads_bytes_max"):
            async with budget.turn(Patience(2)):
                raise AssertionError("two turns at once")
        assert trio.current_time() == pytest.approx(2)
        async with budget.turn(Patience(60)):
            assert trio.current_time() == pytest.approx(30)
