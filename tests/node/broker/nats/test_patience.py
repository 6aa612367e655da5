"""How long a call goes on trying."""

import pytest
import trio

from node.broker.interface import BrokerUnavailable
from node.broker.nats.patience import Patience


async def test_pauses_grow_and_end_by_the_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """A call that never succeeds is given up before its deadline, says why, and does not try too often."""
    patience = Patience(3.0)

    async def try_for_ever() -> None:
        while True:
            await patience.pause("the reason")

    with pytest.raises(BrokerUnavailable, match="the reason"):
        await try_for_ever()
    assert 2.5 < trio.current_time() <= 3.0
    assert 10 < patience.tries < 40


async def test_tries_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """One try takes a second at most, a first question less, and nothing more than is left."""
    patience = Patience(3.0)
    assert (patience.attempt_s, patience.question_s) == (1.0, 0.25)
    await trio.sleep(2.9)
    assert patience.attempt_s == patience.question_s == patience.left_s == pytest.approx(0.1)
    await trio.sleep(1)
    assert patience.left_s == 0.0
