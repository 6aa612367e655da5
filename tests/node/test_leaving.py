"""Who is sent away, in which order, after what, and when the process ends."""

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.config.options import DrainOptions
from node.drain import Drain, Phase
from node.leaving import Leaving
from node.protocol.reasons import INSUFFICIENT_STATE, SHUTDOWN, DisconnectReason
from protos.catalog_pb2 import Order

AT_ONCE = DrainOptions(arrivals_quiet_s=0, arrivals_wait_max_s=0, rate=100)


class Session:
    """A session that is gone as soon as it is told, unless it lingers."""

    def __init__(self, node: "Node", channels: int, *, lingers: bool = False) -> None:
        self.subscriptions = [str(number) for number in range(channels)]
        self.opened_at = trio.current_time()
        self.told: DisconnectReason | None = None
        self._node = node
        self._lingers = lingers

    @property
    def closed(self) -> bool:
        return self.told is not None

    def close(self, reason: DisconnectReason) -> None:
        assert self._node.idle or self._node.restless, "in the middle of a publication"
        assert self.told is None
        self.told = reason
        self._node.told.append(self)
        if not self._lingers:
            self._node.sessions.remove(self)


class Node:
    """Sessions and a hub, with the task under test."""

    def __init__(self, options: DrainOptions = AT_ONCE) -> None:
        self.sessions: list[Session] = []
        self.told: list[Session] = []
        self.changes = 0
        self.idle = True
        self.hastened = 0
        # Its hub is never done.
        self.restless = False
        self.lost = False
        self.drain = Drain(options, "me", trio.current_time())
        self.leaving = Leaving(
            self.drain, self.sessions, self, self._reason, lambda: self.lost, self._changed
        )

    def hasten(self) -> None:
        self.hastened += 1

    def come(self, count: int, channels: Callable[[int], int] = lambda _: 1, **options: Any) -> None:
        self.sessions += [Session(self, channels(number), **options) for number in range(count)]

    def order(self, number: int = 1, action: Any = Order.DRAIN, **fields: Any) -> None:
        values = {"instance": "me", "fence": 1, "rate": 100.0, "ends_in_s": 60.0, **fields}
        self.leaving.obey(Order(number=number, action=action, **values))

    def _reason(self, moves: bool) -> DisconnectReason:
        return INSUFFICIENT_STATE if self.lost else DisconnectReason(3001, "move") if moves else SHUTDOWN

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A node that serves."""
    async with trio.open_nursery() as nursery:
        node = Node()
        nursery.start_soon(node.leaving.run)
        yield node
        nursery.cancel_scope.cancel()


async def test_a_stopped_node_sends_everybody_away_at_its_pace_and_is_done(
    autojump_clock: MockClock, node: Node
) -> None:
    """150 clients at 100 per second: some 1.5 s, each told once, then the process may end."""
    node.come(150)
    began_at = trio.current_time()
    node.leaving.stop(20)
    await trio.sleep(0.5)
    assert 40 <= len(node.told) <= 51
    with trio.fail_after(2):
        await node.leaving.done.wait()
    assert 1.3 <= trio.current_time() - began_at <= 1.8
    assert [session.told for session in node.told] == [SHUTDOWN] * 150


async def test_the_deadline_sends_whoever_is_left(autojump_clock: MockClock, node: Node) -> None:
    """A held drain ends at its deadline, all at once."""
    node.come(500)
    node.order(rate=0, ends_in_s=2, stop=True)
    await trio.sleep(1.9)
    assert not node.told
    with trio.fail_after(0.3):
        await node.leaving.done.wait()


async def test_the_process_goes_on_where_it_was_not_told_to_end(
    autojump_clock: MockClock, node: Node
) -> None:
    """An ordered drain without stop leaves an empty node behind, which serves again when told."""
    node.come(5)
    node.order()
    await trio.sleep(1)
    assert (node.sessions, node.drain.phase, node.leaving.done.is_set()) == ([], Phase.EMPTY, False)
    node.order(2, Order.SERVE)
    node.come(5)
    await trio.sleep(1)
    assert (len(node.sessions), node.drain.leaves) == (5, False)


async def test_clients_that_do_not_go_are_waited_for(autojump_clock: MockClock, node: Node) -> None:
    """Empty is when connections are gone, not when they were told."""
    node.come(3, lingers=True)
    node.leaving.stop(20)
    await trio.sleep(1)
    assert len(node.told) == 3
    assert not node.leaving.done.is_set()
    node.sessions.clear()
    with trio.fail_after(0.2):
        await node.leaving.done.wait()


async def test_the_largest_go_first_where_that_is_wanted(autojump_clock: MockClock, node: Node) -> None:
    """Most subscriptions first; otherwise in no order of theirs."""
    node.come(200, lambda number: number % 50)
    node.order(pick=Order.LARGEST_FIRST)
    await trio.sleep(3)
    sizes = [len(session.subscriptions) for session in node.told]
    assert sizes == sorted(sizes, reverse=True)
    node.order(2, Order.SERVE)
    node.told.clear()
    node.come(200, lambda number: number)
    node.order(3, plan_id="another")
    await trio.sleep(3)
    sizes = [len(session.subscriptions) for session in node.told]
    assert sizes != sorted(sizes)
    assert sizes != sorted(sizes, reverse=True)


async def test_a_move_spares_the_young_and_stops_at_its_count(autojump_clock: MockClock, node: Node) -> None:
    """Only sessions old enough go, so many and no more, and they hear that the node stays."""
    node.come(20)
    await trio.sleep(100)
    node.come(20)
    for number in range(1, 4):
        node.order(number, Order.MOVE, count=30, age_min_s=50, plan_id="move")
        await trio.sleep(1)
    assert len(node.told) == 20
    assert {session.told for session in node.told} == {DisconnectReason(3001, "move")}
    await trio.sleep(60)
    for number in range(4, 8):
        node.order(number, Order.MOVE, count=30, age_min_s=50, plan_id="move")
        await trio.sleep(1)
    assert len(node.told) == 30
    assert len(node.sessions) == 10


@pytest.mark.parametrize("ends", ["served", "not led", "empty"])
async def test_who_was_to_go_is_kept_by_nobody(autojump_clock: MockClock, node: Node, ends: str) -> None:
    """When a drain or a move is over, however it ended, a session that goes by itself is really gone."""
    node.come(50)
    node.order(1, Order.MOVE if ends == "not led" else Order.DRAIN, count=40, rate=5, plan_id="one")
    await trio.sleep(1)
    assert 3 <= len(node.told) <= 7
    if ends == "served":
        node.order(2, Order.SERVE, rate=0)
    await trio.sleep(4)
    going = node.sessions[: None if ends == "empty" else -1]
    gone = [weakref.ref(session) for session in going]
    for session in going:
        session.told = SHUTDOWN
        node.sessions.remove(session)
    del session, going
    await trio.sleep(10)
    gc.collect()
    assert not any(session() for session in gone)
    node.come(5)
    told = len(node.told)
    node.order(3, plan_id="two")
    await trio.sleep(3)
    assert (node.sessions, len(node.told) > told) == ([], True)


async def test_sessions_that_come_in_between_are_found(autojump_clock: MockClock, node: Node) -> None:
    """Clients half inside when the node left are sent away like the others."""
    node.come(3)
    node.order(ends_in_s=60)
    await trio.sleep(0.3)
    node.come(3)
    await trio.sleep(0.6)
    assert len(node.told) == 6


async def test_nobody_goes_in_the_middle_of_a_publication(mock_clock: MockClock) -> None:
    """Everything that came for a client is written before it is told; for half a second, if it has to be."""
    async with trio.open_nursery() as nursery:
        node = Node()
        nursery.start_soon(node.leaving.run)
        node.come(1)
        node.leaving.stop(20)
        await let_pass(mock_clock, 0.0)
        node.idle = False
        await let_pass(mock_clock, 0.1)
        assert not node.told
        assert node.hastened, "what rests is written first"
        node.idle = True
        await let_pass(mock_clock, 0.0)
        assert len(node.told) == 1
        node.come(200)
        node.idle, node.restless = False, True
        await let_pass(mock_clock, 20.0)
        assert len(node.told) == 1
        await let_pass(mock_clock, 0.6)
        await let_pass(mock_clock, 0.0)
        assert len(node.told) == 201
        nursery.cancel_scope.cancel()


async def let_pass(clock: MockClock, seconds: float) -> None:
    """Let time pass while a task is never idle."""
    clock.jump(seconds)
    for _ in range(10):
        await trio.lowlevel.checkpoint()


async def test_those_who_may_have_missed_something_are_told_so(autojump_clock: MockClock, node: Node) -> None:
    """The reason is asked for each time: a node without its broker says insufficient state."""
    node.come(10)
    node.lost = True
    node.leaving.stop(20)
    await node.leaving.done.wait()
    assert {session.told for session in node.told} == {INSUFFICIENT_STATE}


async def test_a_node_whose_broker_is_back_serves_again_without_a_leader(
    autojump_clock: MockClock, node: Node
) -> None:
    """It left only because it was cut off, and nobody is there to call it back; nobody goes meanwhile."""
    node.come(10)
    node.lost = True
    node.order(plan_id="lost", rate=1.0, ends_in_s=1e6, cut_off=True)
    await trio.sleep(2.5)
    sent = len(node.told)
    assert {session.told for session in node.told} == {INSUFFICIENT_STATE}
    await trio.sleep(100)
    assert node.drain.phase is Phase.SENDING
    assert len(node.told) - sent <= 1
    node.lost = False
    await trio.sleep(1)
    assert node.drain.phase is Phase.SERVING


async def test_changes_are_told_and_idle_nodes_sleep(autojump_clock: MockClock, node: Node) -> None:
    """The catalog hears of each new phase, and of SIGTERM in any; a node that serves does not even tick."""
    await wait_all_tasks_blocked()
    node.come(1)
    node.order(rate=0)
    await trio.sleep(1)
    assert node.changes == 2
    node.order(2, rate=100)
    node.leaving.stop(20)
    assert node.changes == 3
    await node.leaving.done.wait()
    assert node.changes == 4
