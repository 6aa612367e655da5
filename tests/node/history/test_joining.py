"""Recoveries over the fake broker: what they answer, and what they cost."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.broker.interface import BrokerUnavailable
from node.history.recovery import Joined
from node.protocol.messages import StreamPosition
from tests.fakes.cluster import Cluster, history_options, join, leave


async def test_recovery_from_memory(cluster: Cluster, clock: MockClock) -> None:
    """What the tail proves costs no read, and the position is the request's."""
    node = await cluster.node()
    stayed = cluster.client()
    await join(node, stayed)
    await cluster.publish(node, 4)
    reads = node.broker.reads

    joined = await join(node, cluster.client(), StreamPosition(3, "e1"))

    assert joined.recovered
    assert joined.position == StreamPosition(3, "e1")
    assert joined.top == StreamPosition(5, "e1")
    assert [publication.offset for publication in joined.publications] == [4, 5]
    assert node.broker.reads == reads
    assert node.metrics.recoveries == {("recovered", "tail"): 1}
    assert node.metrics.publications_out["recovery"] == 2


async def test_nothing_missed_needs_no_read_on_a_fresh_channel(cluster: Cluster, clock: MockClock) -> None:
    """Most clients of a node that died have missed nothing: the head alone proves it."""
    node, other = await cluster.node(), await cluster.node()
    await cluster.publish(other, 4)

    joined = await join(node, cluster.client(), StreamPosition(5, "e1"))

    assert joined.recovered
    assert joined.publications == ()
    assert node.broker.reads == 0


async def test_recovery_from_the_store(cluster: Cluster, clock: MockClock) -> None:
    """A fresh channel reads once, and what was read serves the next one too."""
    node, other = await cluster.node(), await cluster.node()
    await cluster.publish(other, 6)

    first = await join(node, cluster.client(), StreamPosition(3, "e1"))
    second = await join(node, cluster.client(), StreamPosition(4, ""))

    assert (first.recovered, len(first.publications)) == (True, 4)
    assert (second.recovered, len(second.publications)) == (True, 3)
    assert node.broker.reads == 1


async def test_exactly_history_size_can_be_missed(cluster: Cluster, clock: MockClock) -> None:
    """The store keeps one more than readers see, so that a client that missed all of them is recovered."""
    node, other = await cluster.node(), await cluster.node()
    await cluster.publish(other, 11)

    assert (await join(node, cluster.client(), StreamPosition(2, "e1"))).recovered
    assert not (await join(node, cluster.client(), StreamPosition(1, "e1"))).recovered


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        (StreamPosition(3, "_"), "epoch"),
        (StreamPosition(1, "e1"), "limit"),
        (StreamPosition(4, "e1"), "limit"),
        (StreamPosition(100, "e1"), "position_ahead"),
    ],
)
async def test_not_recovered(cluster: Cluster, clock: MockClock, since: StreamPosition, reason: str) -> None:
    """Everything unprovable is `recovered: false` with the top as position, and counted with its reason."""
    cluster.store.size = 5
    node = await cluster.node(options=history_options(5), recovery_limit=2)
    stayed = cluster.client()
    await cluster.publish(node, 4)
    await join(node, stayed)
    await cluster.publish(node, 3)

    joined = await join(node, cluster.client(), since)

    assert joined == Joined(StreamPosition(8, "e1"), top=StreamPosition(8, "e1"))
    assert node.metrics.recoveries == {("not_recovered", reason): 1}
    assert not stayed.lost


async def test_trimmed_history_is_not_recovered(cluster: Cluster, clock: MockClock) -> None:
    """What the store let go is gone; one read is enough to know it for everybody who is further back."""
    node, other = await cluster.node(), await cluster.node()
    await cluster.publish(other, 20)
    for offset in (5, 4, 5):
        assert not (await join(node, cluster.client(), StreamPosition(offset, "e1"))).recovered

    assert node.broker.reads == 1
    assert node.metrics.recoveries == {("not_recovered", "removed"): 3}


async def test_history_removed_is_not_recovered(cluster: Cluster, clock: MockClock) -> None:
    """Positions below the tombstone are gone, those at it are good; subscribers notice nothing."""
    node = await cluster.node()
    stayed = cluster.client()
    await join(node, stayed)
    await cluster.publish(node, 3)
    tombstone = await node.broker.remove_history("a")
    await cluster.publish(node)

    assert not (await join(node, cluster.client(), StreamPosition(3, "e1"))).recovered
    assert (await join(node, cluster.client(), tombstone)).recovered
    assert len(stayed.received) == 4
    assert not stayed.lost


async def test_client_that_is_ahead_of_its_node(cluster: Cluster, clock: MockClock) -> None:
    """A client from a faster node waits until this one has caught up, and is recovered."""
    node, other = await cluster.node(), await cluster.node()
    await join(node, cluster.client())
    node.broker.drop = 1
    client = cluster.client()
    await join(other, client)
    await cluster.publish(other, 5)
    leave(other, client)

    joined = await join(node, client, client.position)

    assert joined.recovered
    assert joined.publications == ()
    assert len(client.received) == 5


async def test_nothing_is_answered_while_the_feed_is_broken(cluster: Cluster, clock: MockClock) -> None:
    """The tail alone is not trusted until the head was compared after the break."""
    node, other = await cluster.node(), await cluster.node()
    await join(node, cluster.client())
    node.broker.break_feed()
    await cluster.publish(other, 2)
    with trio.move_on_after(3) as scope:
        await join(node, cluster.client(), StreamPosition(1, "e1"))
    assert scope.cancelled_caught

    async with trio.open_nursery() as joins:
        joins.start_soon(join, node, client := cluster.client(), StreamPosition(1, "e1"))
        await wait_all_tasks_blocked()
        node.broker.restore_feed()
    await trio.sleep(1)

    assert client.received == [b"0", b"1"]


async def test_joins_fail_at_once_when_the_broker_is_lost(cluster: Cluster, clock: MockClock) -> None:
    """After lost_max_s nobody waits for a history channel; open plain ones go on."""
    node = await cluster.node()
    await join(node, cluster.client())
    await join(node, cluster.client("plain"))
    node.broker.break_feed()
    await trio.sleep(11)
    began = trio.current_time()
    with pytest.raises(BrokerUnavailable):
        await join(node, cluster.client())
    await join(node, cluster.client("plain"))

    assert trio.current_time() == began


async def test_storm_of_recoveries_costs_reads_per_channel(cluster: Cluster, clock: MockClock) -> None:
    """Five thousand clients come back to a hundred channels at once: a read or two for each channel."""
    node, other = await cluster.node(), await cluster.node()
    node.broker.latency_s = 0.01
    channels = [f"channel{number}" for number in range(100)]
    for channel in channels:
        await cluster.publish(other, 5, channel)
    ends = {channel: max(cluster.store.accepted["e1", channel]) for channel in channels}
    results: list[Joined] = []

    async def come_back(number: int) -> None:
        channel = channels[number % 100]
        client = cluster.client(channel)
        results.append(await join(node, client, StreamPosition(ends[channel] - number % 5, "e1")))

    async with trio.open_nursery() as joins:
        for number in range(5000):
            joins.start_soon(come_back, number)

    assert all(result.recovered for result in results)
    assert node.broker.reads <= 200
    assert node.broker.head_requests <= 100
    assert len(node.broker.interests) == 100


async def test_hostile_position_costs_the_others_nothing(cluster: Cluster, clock: MockClock) -> None:
    """While one waits for a position that does not exist, others join at once."""
    node = await cluster.node()
    stayed = cluster.client()
    await join(node, stayed)
    async with trio.open_nursery() as joins:
        joins.start_soon(join, node, cluster.client(), StreamPosition(2**52, "e1"))
        await trio.sleep(0.1)
        began = trio.current_time()
        await join(node, cluster.client(), StreamPosition(1, "e1"))
        assert trio.current_time() == began

    assert not stayed.lost
    assert trio.current_time() - began < 3.5
