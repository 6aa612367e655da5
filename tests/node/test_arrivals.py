"""Who gets a session: the rate, the room, and a node that leaves."""

import trio
from trio.testing import MockClock

from node.arrivals import Arrivals


class Room:
    full = False


async def test_so_many_per_second_get_one(autojump_clock: MockClock) -> None:
    """A short burst passes, then the rate; what is refused costs nobody else."""
    arrivals = Arrivals(Room(), rate_max=20)
    at_once = [arrivals.refusal() for _ in range(10)]
    assert at_once == [""] * 5 + ["connection_rate"] * 5
    let_in = 0
    for _ in range(100):
        await trio.sleep(0.02)
        let_in += not arrivals.refusal()
    assert 39 <= let_in <= 41


async def test_a_leaving_node_takes_nobody_and_notes_who_came(autojump_clock: MockClock) -> None:
    """The moment of each refused client is known; a full node is no sign of anything."""
    told: list[float] = []
    leaves, room = [False], Room()
    arrivals = Arrivals(room, lambda: leaves[0], arrived=told.append)
    assert arrivals.refusal() == ""
    room.full = True
    assert arrivals.refusal() == "not_accepting"
    assert told == []
    leaves[0] = True
    assert arrivals.refusal() == "not_accepting"
    assert told == [trio.current_time()]
