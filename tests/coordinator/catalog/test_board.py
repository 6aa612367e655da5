"""What watchers are told, and whose time is over."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import trio
from trio.testing import MockClock

from coordinator.catalog.board import Board
from coordinator.catalog.interface import (
    CaughtUp,
    Event,
    LeaderSeen,
    NodeGone,
    NodeSeen,
    PlanGone,
    PlanSeen,
)
from protos.catalog_pb2 import Leader, NodeReport, Plan

TTL_S = 5.0


def report(name: str, number: int = 1, instance: str = "i", fence: int = 0) -> NodeReport:
    return NodeReport(name=name, number=number, instance=instance, fence=fence)


@asynccontextmanager
async def watched(board: Board) -> AsyncIterator[list[Event]]:
    """What a watcher of the board got until now."""
    events: list[Event] = []

    async def watch() -> None:
        async with aclosing(board.watch()) as changes:
            async for event in changes:
                events.append(event)  # noqa: PERF401 - each when it comes

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await trio.testing.wait_all_tasks_blocked()
        yield events
        nursery.cancel_scope.cancel()


async def test_a_watch_begins_with_what_there_is() -> None:
    """Nodes, plans and the leader come first, then that this was all, then changes."""
    board = Board(TTL_S)
    board.node_seen(report("n1"))
    board.plan_seen(Plan(id="p1"), 3)
    board.leader_seen(Leader(name="c1"))
    board.caught_up()
    async with watched(board) as events:
        assert events == [
            NodeSeen(report("n1")),
            PlanSeen(Plan(id="p1"), 3),
            LeaderSeen(Leader(name="c1")),
            CaughtUp(),
        ]
        board.plan_gone("p1")
        board.plan_gone("p1")
        await trio.testing.wait_all_tasks_blocked()
        assert events[4:] == [PlanGone("p1")]


async def test_an_incomplete_board_does_not_say_that_it_is_all() -> None:
    """Before the catalog was read to its end nobody is told so."""
    async with watched(Board(TTL_S)) as events:
        assert events == [LeaderSeen(None)]


async def test_a_slow_watcher_gets_the_last_state() -> None:
    """What was overtaken is left out, so what waits for a watcher is bounded by what there is."""
    board = Board(TTL_S)
    async with watched(board) as events:
        for number in range(100):
            board.node_seen(report("n1", number))
        board.node_seen(report("n2"))
        board.node_gone("n2")
        await trio.testing.wait_all_tasks_blocked()
        assert events[1:] == [NodeSeen(report("n1", 99)), NodeGone("n2")]


async def test_old_reports_are_no_news() -> None:
    """Of one instance the higher number is newer; another instance begins again."""
    board = Board(TTL_S)
    board.node_seen(report("n1", 5))
    async with watched(board) as events:
        events.clear()
        board.node_seen(report("n1", 4))
        board.node_seen(report("n1", 5))
        await trio.testing.wait_all_tasks_blocked()
        assert not events
        board.node_seen(report("n1", 1, "other"))
        await trio.testing.wait_all_tasks_blocked()
        assert events == [NodeSeen(report("n1", 1, "other"))]


async def test_renewals_of_a_leader_are_no_news() -> None:
    """Watchers hear of terms, not of every heartbeat."""
    board = Board(TTL_S)
    board.leader_seen(Leader(name="c1", fence=1, renewals=1))
    async with watched(board) as events:
        events.clear()
        board.leader_seen(Leader(name="c1", fence=1, renewals=2))
        await trio.testing.wait_all_tasks_blocked()
        assert not events
        board.leader_seen(Leader(name="c1", fence=2, renewals=1))
        board.leader_seen(None)
        await trio.testing.wait_all_tasks_blocked()
        assert events == [LeaderSeen(None)]


async def test_a_silent_node_expires(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A node is dropped after its time to live, one that reports is not, nor one the catalog looks after."""
    board = Board(TTL_S)
    nursery.start_soon(board.expire_nodes, lambda: True)
    board.node_seen(report("silent"))
    board.node_seen(report("watched"), watched=True)
    async with watched(board) as events:
        for number in range(2, 12):
            board.node_seen(report("busy", number))
            await trio.sleep(1)
        gone = [event for event in events if isinstance(event, NodeGone)]
        assert gone == [NodeGone("silent")]


async def test_nobodys_time_runs_without_contact(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """When the catalog is away nodes cannot report; when it is back they have their whole time to."""
    board = Board(TTL_S)
    contact = False
    nursery.start_soon(board.expire_nodes, lambda: contact)
    board.node_seen(report("n1"))
    async with watched(board) as events:
        events.clear()
        await trio.sleep(60)
        assert not events
        contact = True
        await trio.sleep(TTL_S - 1)
        assert not events
        await trio.sleep(2)
        assert events == [NodeGone("n1")]


async def test_a_pause_of_ours_is_nobodys_silence(mock_clock: MockClock, nursery: trio.Nursery) -> None:
    """When this process stood still, all reports are late: nodes get their whole time again."""
    board = Board(TTL_S)
    nursery.start_soon(board.expire_nodes, lambda: True)
    board.node_seen(report("n1"))
    async with watched(board) as events:
        events.clear()
        mock_clock.jump(60)
        await trio.testing.wait_all_tasks_blocked()
        assert not events


async def test_a_node_missing_in_a_catalog_that_lost_something_gets_its_time(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """It may register again; if it does not, it is gone."""
    board = Board(TTL_S)
    nursery.start_soon(board.expire_nodes, lambda: True)
    for name in ("back", "lost"):
        board.node_seen(report(name), watched=True)
        board.node_missing(name)
    board.node_missing("unknown")
    async with watched(board) as events:
        await trio.sleep(1)
        board.node_seen(report("back", 2), watched=True)
        await trio.sleep(2 * TTL_S)
        assert [event for event in events if isinstance(event, NodeGone)] == [NodeGone("lost")]


def test_a_fence_is_above_all_that_were() -> None:
    """Whatever was lost, of what is left the highest fence is exceeded."""
    board = Board(TTL_S)
    assert board.fence_above(0, 100.7) == 101
    assert board.fence_above(500, 100.0) == 501
    board.plan_seen(Plan(id="p", fence=600), 1)
    assert board.fence_above(500, 100.0) == 601


async def test_a_fence_is_above_what_nodes_obey() -> None:
    """An emptied catalog and a clock that went back do not make orders that nodes refuse."""
    board = Board(TTL_S)
    board.node_seen(report("n1", fence=700))
    assert board.fence_above(500, 100.0) == 701
