"""Nodes hear of each other, and of each other's end."""

import trio
from trio.testing import MockClock

from node.members import Members, NodeInfo


class Wire:
    """Carries what nodes tell to every listener."""

    def __init__(self) -> None:
        self.listeners: list[object] = []
        self.cut = False
        self.connected = True

    def tell(self, topic: str, data: bytes) -> None:
        assert topic == "info"
        if not self.cut:
            for deliver in self.listeners:
                deliver(data)  # type: ignore[operator]

    async def listen(self, topic: str, deliver: object) -> None:
        assert topic == "info"
        self.listeners.append(deliver)


def member(wire: Wire, name: str) -> Members:
    return Members(wire, lambda: NodeInfo(uid=f"uid-{name}", name=name, num_clients=7), 3.0)  # type: ignore[arg-type]


def names(members: Members) -> list[str]:
    return [info.name for info in members.nodes()]


async def test_nodes_hear_of_each_other(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Within an interval each node knows all, itself included."""
    wire = Wire()
    one, two = member(wire, "one"), member(wire, "two")
    assert names(one) == ["one"]
    nursery.start_soon(one.run)
    nursery.start_soon(two.run)
    await trio.sleep(4)
    assert names(one) == names(two) == ["one", "two"]
    assert [info.num_clients for info in one.nodes()] == [7, 7]


async def test_a_new_node_is_answered_at_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Who has just come knows the others without waiting for their next announcement."""
    wire = Wire()
    one, two = member(wire, "one"), member(wire, "two")
    nursery.start_soon(one.run)
    await trio.sleep(0.5)
    nursery.start_soon(two.run)
    await trio.testing.wait_all_tasks_blocked()
    assert names(one) == names(two) == ["one", "two"]


async def test_a_silent_node_is_forgotten_and_a_goodbye_counts_at_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A killed node disappears after three silent intervals, a stopping one immediately."""
    wire = Wire()
    one, two, three = member(wire, "one"), member(wire, "two"), member(wire, "three")
    nursery.start_soon(one.run)
    async with trio.open_nursery() as others:
        others.start_soon(two.run)
        others.start_soon(three.run)
        await trio.sleep(4)
        others.cancel_scope.cancel()
    three.leave()
    assert names(one) == ["one", "two"]
    await trio.sleep(10)
    assert names(one) == ["one"]


def test_garbage_from_another_node_is_counted() -> None:
    """An undecodable announcement changes nothing and is not silently dropped."""
    one = member(Wire(), "one")
    one.hear(b"garbage")
    one.hear(b'{"uid": 7}')
    one.hear(b'{"uid":"a","name":"b","future":' + b"[" * 100_000)
    assert one.undecodable == 3
