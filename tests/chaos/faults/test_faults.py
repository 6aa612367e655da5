"""Tests of the faults that tell the cluster or the clients to do something: what they do, and undo."""

import pytest
import trio

from chaos.faults.catalogue import FAULTS
from chaos.targets.interface import Part, Skipped
from chaos.workload.spec import Command
from tests.chaos.faults.scenes import scene


@pytest.mark.parametrize(
    ("name", "target", "injected", "healed"),
    [
        ("node-kill", "node-2", [("kill", "node-2")], [("start", "node-2")]),
        ("node-term", "node-2", [("terminate", "node-2")], [("start", "node-2")]),
        ("node-hang", "node-2", [("pause", "node-2")], [("resume", "node-2")]),
        (
            "node-drain",
            "node-2",
            [("drain", "node-2", "--deadline", "30s", "--json")],
            [("undrain", "node-2")],
        ),
        ("nats-kill", "nats-1", [("kill", "nats-1")], [("start", "nats-1")]),
        (
            "nats-kill",
            "all",
            [("kill", "nats-1"), ("kill", "nats-2"), ("kill", "nats-3")],
            [("start", "nats-1"), ("start", "nats-2"), ("start", "nats-3")],
        ),
        ("coordinator-kill", "", [("kill", "coordinator-2")], [("start", "coordinator-2")]),
    ],
)
async def test_a_part_is_hit_and_put_right(
    nursery: trio.Nursery,
    name: str,
    target: str,
    injected: list[tuple[str, ...]],
    healed: list[tuple[str, ...]],
) -> None:
    """Exactly this part, and healing undoes exactly that; who leads is asked when it comes to it."""
    where, cluster, _ = scene(nursery)
    fault = FAULTS[name](where, target)
    await fault.inject()
    assert cluster.done == injected
    cluster.done.clear()
    await fault.heal()
    assert cluster.done == healed
    assert fault.name.startswith(name)


@pytest.mark.parametrize("name", ["node-kill", "node-term", "node-hang", "node-drain", "nats-kill"])
async def test_chance_chooses_where_nobody_does(nursery: trio.Nursery, name: str) -> None:
    """The same seed hits the same part, and seeds differ."""
    hit = [[FAULTS[name](scene(nursery, seed)[0], "").name for seed in range(8)] for _ in range(2)]
    assert hit[0] == hit[1]
    assert len(set(hit[0])) > 1


async def test_chance_hits_where_most_clients_are(nursery: trio.Nursery) -> None:
    """A node that serves gRPC is hit by those who name it: there are few clients on it."""
    where, cluster, _ = scene(nursery)
    cluster._parts.append(Part("grpc-1", "node", 4, "http://h:4", up=True, grpc="h:5"))
    cluster._parts[:3] = []
    with pytest.raises(Skipped, match="no node that is up"):
        FAULTS["node-kill"](where, "")
    await FAULTS["node-kill"](where, "grpc-1").inject()
    assert cluster.done == [("kill", "grpc-1")]


@pytest.mark.parametrize(("name", "deadline_s"), [("node-drain", 30.0), ("node-term", 40.0)])
async def test_a_drain_says_who_has_to_be_empty_by_when(
    nursery: trio.Nursery, name: str, deadline_s: float
) -> None:
    """The judge compares the node with its deadline, an operator's or its own when it is told to stop."""
    fault = FAULTS[name](scene(nursery)[0], "node-1")
    assert (fault.node, fault.drain_deadline_s) == ("node-1", deadline_s)


@pytest.mark.parametrize("name", ["coordinator-kill", "consul-kill"])
async def test_what_is_in_no_messages_way_must_not_be_noticed(nursery: trio.Nursery, name: str) -> None:
    """Its death excuses no loss and no broken session."""
    assert FAULTS[name](scene(nursery)[0], "").slow


async def test_clients_are_told(nursery: trio.Nursery) -> None:
    """Slow clients come and are hastened; a storm breaks the share that was asked for."""
    where, _, clients = scene(nursery)
    slow, storm = FAULTS["slow-clients"](where, ""), FAULTS["reconnect-storm"](where, "0.5")
    for fault in (slow, storm):
        await fault.inject()
        await fault.heal()
    assert clients.told == [Command("slow", seconds=1.0), Command("hasten"), Command("drop", share=0.5)]
    assert slow.slow
    assert not storm.slow


@pytest.mark.parametrize("name", ["consul-kill", "clock-jump", "link-silent"])
async def test_what_cannot_be_done_says_why(nursery: trio.Nursery, name: str) -> None:
    """A fault that is not possible here is skipped with its reason, never left out in silence."""
    fault = FAULTS[name](scene(nursery)[0], "")
    with pytest.raises(Skipped, match=r"\w+ \w+"):
        await fault.inject()


async def test_a_part_that_there_is_not_is_no_target(nursery: trio.Nursery) -> None:
    """A mistyped name hits nobody else."""
    with pytest.raises(Skipped, match="node-9"):
        FAULTS["node-kill"](scene(nursery)[0], "node-9")
