"""The decider: whom a node obeys, when it begins to send clients away, how fast, and when all of it ends."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.config.options import DrainOptions
from node.drain import NEXT, Drain, Event, Phase
from protos.catalog_pb2 import Leaving, Order

OPTIONS = DrainOptions(arrivals_quiet_s=2, arrivals_wait_max_s=10, rate=100, order_patience_s=3)
AT_ONCE = DrainOptions(arrivals_quiet_s=0, arrivals_wait_max_s=0, rate=100, order_patience_s=3)
TICK_S = 0.05


def order(number: int = 1, action: Any = Order.DRAIN, **fields: Any) -> Order:
    values = {"instance": "me", "fence": 1, "plan_id": "plan", "rate": 50.0, "ends_in_s": 60.0, **fields}
    return Order(node="node", number=number, action=action, **values)


class Node:
    """A node whose clients go as soon as they are told; its clock is moved by hand."""

    def __init__(self, sessions: int, options: DrainOptions = AT_ONCE) -> None:
        self.now = 1000.0
        self.sessions = sessions
        self.drain = Drain(options, "me", self.now)
        self.sent: list[int] = []

    def obey(self, given: Order) -> str:
        return self.drain.obey(given, self.now)

    def tick(self, elapsed_s: float = TICK_S) -> int:
        self.now += elapsed_s
        count = min(self.drain.due(self.sessions, self.now).count, self.sessions)
        self.drain.sent(count, self.now)
        self.sessions -= count
        self.sent.append(count)
        return count

    def ticks(self, seconds: float) -> int:
        return sum(self.tick() for _ in range(round(seconds / TICK_S)))

    @property
    def leaving(self) -> Leaving:
        leaving = self.drain.leaving(self.now)
        assert leaving is not None
        return leaving


def test_every_phase_but_serving_can_be_left_for_serving() -> None:
    """Undrain works everywhere, and every phase is reached."""
    assert {phase for phase, event in NEXT if event is Event.SERVE} == set(Phase) - {Phase.SERVING}
    assert set(NEXT.values()) == set(Phase)


def test_a_drain_waits_sends_at_the_ordered_rate_and_is_empty() -> None:
    """Refusing at once, sending only after two quiet seconds, 50 per second then, empty in the end."""
    node = Node(100, OPTIONS)
    assert node.obey(order(ends_in_s=60)) == ""
    assert node.drain.leaves
    assert node.ticks(1.9) == 0
    assert (node.leaving.phase, node.leaving.rate) == (Leaving.WAITING, 0)
    assert node.obey(order(2, ends_in_s=58)) == ""
    assert 48 <= node.ticks(1.2) <= 60
    assert (node.leaving.phase, node.leaving.rate, node.leaving.plan_id) == (Leaving.SENDING, 50, "plan")
    node.obey(order(3))
    node.ticks(1.2)
    assert node.sessions == 0
    assert (node.drain.phase, node.leaving.sent_away) == (Phase.EMPTY, 100)
    assert not node.drain.ends


def test_arrivals_hold_the_beginning_up_and_not_for_ever() -> None:
    """Each client that still comes starts the quiet time again, until the maximum has passed."""
    node = Node(100, OPTIONS)
    node.drain.stop(30, node.now)
    for _ in range(18):
        assert node.ticks(0.5) == 0
        node.drain.arrived(node.now)
    assert node.ticks(2.0) > 0
    assert 10 <= node.now - 1000 <= 12


def test_waiting_leaves_half_the_time_for_sending() -> None:
    """A short deadline is not spent on waiting."""
    node = Node(10, OPTIONS)
    node.drain.stop(1.0, node.now)
    assert node.ticks(0.45) == 0
    node.ticks(0.6)
    assert node.sessions == 0


def test_an_empty_node_that_nobody_comes_to_waits_for_the_quiet_time_only() -> None:
    """No sessions, no arrivals: empty after two seconds."""
    node = Node(0, OPTIONS)
    node.drain.stop(30, node.now)
    node.ticks(1.9)
    assert node.drain.phase is Phase.WAITING
    node.ticks(0.2)
    assert (node.drain.phase, node.drain.ends) == (Phase.EMPTY, True)


def test_a_rate_of_nothing_holds_the_drain_until_the_deadline() -> None:
    """0 sends nobody away, from that order on; the deadline sends whoever is left."""
    node = Node(1000)
    node.obey(order(1, rate=100, ends_in_s=5))
    node.ticks(0.5)
    left, number = node.sessions, 2
    while node.now < 1004.9:
        node.obey(order(number, rate=0, ends_in_s=5))
        number += 1
        assert node.tick() == 0
    assert node.tick(0.1) == left


def test_silence_of_the_coordinator_changes_the_pace_only_for_the_deadline() -> None:
    """Three seconds without an order: as it was told last, or what the deadline needs; then led again."""
    node = Node(2000)
    node.obey(order(1, rate=50, ends_in_s=60))
    node.ticks(5.1)
    assert 48 <= node.ticks(1.0) <= 52
    assert (node.leaving.plan_id, node.leaving.rate) == ("", 50)
    held = Node(2000)
    held.obey(order(1, rate=0, ends_in_s=43))
    assert held.ticks(3.0) == 0
    assert 48 <= held.ticks(1.1) <= 58
    held.obey(order(2, rate=10, ends_in_s=60))
    assert 9 <= held.ticks(1.0) <= 11


def test_a_node_that_nobody_leads_has_its_own_pace() -> None:
    """SIGTERM without a coordinator: `drain.rate`, or more if the deadline needs it."""
    alone = Node(2000)
    alone.drain.stop(60, alone.now)
    assert 90 <= alone.ticks(1.0) <= 115
    hurried = Node(10_000)
    hurried.drain.stop(10, hurried.now)
    assert 900 <= hurried.ticks(1.0) <= 1100


def test_an_order_sets_the_deadline_once_and_then_only_shortens_it() -> None:
    """A later order of a plan with more time changes nothing; another plan sets its own."""
    node = Node(10)
    node.obey(order(1, ends_in_s=20, rate=0))
    node.obey(order(2, ends_in_s=90, rate=0))
    assert node.leaving.ends_in_s == 20
    node.obey(order(3, ends_in_s=5, rate=0))
    assert node.leaving.ends_in_s == 5
    node.obey(order(4, ends_in_s=50, rate=0, plan_id="another"))
    assert node.leaving.ends_in_s == 50


@pytest.mark.parametrize("quiet_s", [0, 1, 3])
def test_serve_puts_a_node_back_from_every_phase(quiet_s: int) -> None:
    """Undrain while it waits, sends, or is empty: sessions are taken again, and nobody is sent away."""
    node = Node(60, OPTIONS)
    node.obey(order(1, rate=100))
    node.ticks(quiet_s)
    assert node.obey(order(2, Order.SERVE)) == ""
    assert (node.drain.leaves, node.drain.busy(node.now), node.drain.reason) == (False, False, "")
    assert node.ticks(5) == 0
    node.sessions = 100
    node.obey(order(3, plan_id="again", rate=100))
    assert node.leaving.sent_away == 0


def test_a_stop_is_never_undone() -> None:
    """After SIGTERM an order may set the pace and shorten the time, and nothing else."""
    node = Node(100)
    node.drain.stop(20, node.now)
    assert node.obey(order(1, Order.SERVE)) == "stopping"
    assert node.obey(order(2, Order.MOVE, count=1)) == "stopping"
    assert node.obey(order(3, rate=10, ends_in_s=90)) == ""
    assert (node.leaving.on_its_own, node.leaving.stop) == (True, True)
    assert (node.leaving.ends_in_s, node.leaving.plan_id) == (20, "plan")
    assert 9 <= node.ticks(1) <= 10
    assert node.drain.reason == "the node is stopping"


def test_a_stop_takes_over_an_ordered_drain_and_follows_no_other_order() -> None:
    """SIGTERM in the middle of a plan keeps what was sent; an order to serve or to move is forgotten."""
    node = Node(100)
    node.obey(order(1, rate=20))
    node.ticks(1)
    node.drain.stop(10, node.now)
    assert node.leaving.sent_away == 100 - node.sessions
    assert (node.leaving.plan_id, node.leaving.ends_in_s) == ("plan", 10)
    served = Node(100)
    served.obey(order(1, Order.SERVE, rate=0))
    served.drain.stop(10, served.now)
    assert served.ticks(1) > 90


def test_a_move_sends_so_many_older_ones_and_stays() -> None:
    """Two moves of ten at 20 per second: each stops at its count; the node serves all the time."""
    node = Node(100)
    node.obey(order(1, Order.MOVE, count=10, rate=20, age_min_s=300, pick=Order.LARGEST_FIRST))
    batch = node.drain.due(100, node.now + 0.2)
    assert (batch.count, batch.largest_first, batch.age_min_s, batch.moves) == (4, True, 300, True)
    node.ticks(1)
    node.obey(order(2, Order.MOVE, count=10, rate=20))
    node.ticks(1)
    assert (node.sessions, node.drain.leaves, node.drain.busy(node.now)) == (90, False, False)
    moving = node.drain.moving()
    assert moving is not None
    assert (moving.plan_id, moving.sent_away, moving.count) == ("plan", 10, 10)
    node.obey(order(3, Order.MOVE, count=10, rate=20, plan_id="another"))
    node.ticks(1)
    assert node.sessions == 80


def test_nobody_is_moved_when_the_coordinator_is_silent() -> None:
    """A move goes on only while somebody wants it."""
    node = Node(1000)
    node.obey(order(1, Order.MOVE, count=1000, rate=10))
    assert node.ticks(10) <= 31
    node.obey(order(2, Order.MOVE, count=1000, rate=10))
    assert 9 <= node.ticks(1) <= 11


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"instance": "my predecessor"}, "instance"),
        ({"fence": 4}, "fence"),
        ({"number": 7}, "number"),
        ({"number": 6}, "number"),
        ({"rate": math.nan}, "malformed"),
        ({"rate": -1}, "malformed"),
        ({"ends_in_s": math.inf}, "malformed"),
        ({"action": Order.ACTION_UNSPECIFIED}, "malformed"),
        ({"action": Order.MOVE, "number": 8}, "leaving"),
    ],
)
def test_what_is_not_for_it_now_is_refused_and_counted(fields: dict[str, Any], cause: str) -> None:
    """Another process, an old leader, an old order, nonsense: nothing changes, and somebody can see it."""
    node = Node(100)
    assert node.obey(order(7, fence=5, rate=10)) == ""
    before = node.drain.leaving(node.now)
    assert node.obey(order(**{"number": 8, "fence": 5, **fields})) == cause
    assert node.drain.refused == {cause: 1}
    assert node.drain.leaving(node.now) == before


def test_a_new_leader_counts_anew() -> None:
    """A higher fence is obeyed whatever its number, and fences off the one before."""
    node = Node(100)
    node.obey(order(7, fence=5))
    assert node.obey(order(1, Order.SERVE, fence=6)) == ""
    assert node.drain.fence == 6
    assert node.obey(order(8, fence=5)) == "fence"
    assert not node.drain.leaves


def test_a_session_that_came_late_is_sent_away_too() -> None:
    """A client that was half inside when the node was already empty does not stay."""
    node = Node(0)
    node.obey(order(1, rate=50))
    node.tick()
    assert node.drain.phase is Phase.EMPTY
    node.sessions = 1
    node.ticks(0.2)
    assert node.sessions == 0
    assert node.drain.phase is Phase.EMPTY


ORDERS = st.builds(
    order,
    number=st.integers(0, 20),
    action=st.sampled_from([Order.SERVE, Order.DRAIN, Order.MOVE, Order.ACTION_UNSPECIFIED]),
    fence=st.integers(0, 3),
    instance=st.sampled_from(["me", "me", "me", "other"]),
    plan_id=st.sampled_from(["one", "two"]),
    rate=st.floats(0, 500),
    ends_in_s=st.floats(5, 20),
    stop=st.booleans(),
    count=st.integers(0, 100),
)


@settings(deadline=None)
@given(st.lists(ORDERS, max_size=30))
def test_of_orders_in_any_order_only_newer_ones_count(script: list[Order]) -> None:
    """What is obeyed has a higher fence, or the same one and a higher number; all else is counted."""
    node, seen, obeyed = Node(1000), (0, 0), 0
    for told in script:
        if not node.obey(told):
            assert (told.fence, told.number) > seen
            assert told.instance == "me"
            seen = (told.fence, told.number)
            obeyed += 1
            assert node.drain.leaves == (told.action == Order.DRAIN)
        assert node.drain.fence >= seen[0]
        node.tick()
    assert obeyed + node.drain.refused.total() == len(script)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 500), st.lists(st.floats(0.001, 0.5), max_size=5)), min_size=1))
def test_never_more_than_the_rate_allows(script: list[tuple[float, list[float]]]) -> None:
    """However orders change it and however late the ticks come: rate times time and one, at most."""
    node, allowed = Node(100_000), 1.0
    for number, (rate, pauses) in enumerate(script, 1):
        node.obey(order(number, rate=rate, ends_in_s=1000))
        for pause_s in pauses:
            allowed += rate * pause_s
            node.tick(pause_s)
            assert node.drain.sent_away <= allowed


@settings(deadline=None)
@given(
    sessions=st.integers(0, 5000),
    ends_in_s=st.floats(0, 20),
    arrivals=st.lists(st.floats(0, 20)),
    orders=st.lists(st.tuples(st.floats(0, 20), ORDERS)),
)
def test_a_stopping_node_is_empty_by_its_deadline(
    sessions: int, ends_in_s: float, arrivals: list[float], orders: list[tuple[float, Order]]
) -> None:
    """Whatever is ordered, and whoever still comes: at the deadline nobody is left."""
    node = Node(sessions, OPTIONS)
    node.drain.stop(ends_in_s, node.now)
    end = node.now + ends_in_s
    while node.now < end + 2.1:
        for at in arrivals:
            if node.now <= 1000 + at < node.now + TICK_S:
                node.drain.arrived(node.now)
        for at, told in orders:
            if node.now <= 1000 + at < node.now + TICK_S:
                node.obey(told)
        node.tick()
        if node.now >= end:
            assert node.sessions == 0
    assert (node.drain.phase, node.drain.ends) == (Phase.EMPTY, True)


def test_what_is_ordered_for_an_absent_broker_holds_without_a_leader() -> None:
    """Only a leader knows whether the others are better off; nobody is sent away at the node's own pace."""
    node = Node(100)
    node.obey(order(ends_in_s=1e6, cut_off=True, rate=10))
    assert 9 <= node.ticks(1) <= 11
    assert node.leaving.cut_off
    assert "cut off" in node.drain.reason
    node.ticks(3)
    assert node.ticks(60) == 0
    node.obey(order(2, fence=2, ends_in_s=1e6, cut_off=True, rate=10))
    assert node.ticks(1) > 0


def test_a_broker_that_is_back_ends_what_no_leader_repeats() -> None:
    """A leader calls the node back by itself; without one it would be out of rotation for ever."""
    node = Node(100)
    node.obey(order(ends_in_s=1e6, cut_off=True, rate=0))
    node.ticks(1)
    node.drain.connected(node.now)
    assert node.drain.leaves
    node.ticks(3)
    node.drain.connected(node.now)
    assert not node.drain.leaves


@pytest.mark.parametrize("stops", [True, False])
def test_a_broker_that_is_back_ends_no_other_drain(stops: bool) -> None:
    """Neither one that somebody asked for, nor that of a process that was told to end."""
    node = Node(100)
    node.obey(order(ends_in_s=1e6, cut_off=True, rate=0))
    if stops:
        node.drain.stop(60, node.now)
    else:
        node.obey(order(2, plan_id="other", rate=0))
    assert not node.leaving.cut_off
    node.ticks(5)
    node.drain.connected(node.now)
    assert node.drain.leaves
    assert node.sessions < 100
