"""Joining and leaving, and what the feed and the store say meanwhile: nothing is lost or left behind."""

import pytest
import trio
from trio.testing import MockClock

from node.broker.interface import BrokerError, BrokerUnavailable
from node.history.recovery import Joined
from node.protocol.messages import StreamPosition
from tests.fakes.cluster import Cluster, FakeNode, Slowly, join, leave


def assert_empty(node: FakeNode) -> None:
    assert node.broker.interests == []
    assert node.channels._channels == {}
    assert node.hub.channels == 0


async def test_first_joins_and_last_leaves(cluster: Cluster, clock: MockClock) -> None:
    """The first subscriber makes the interest, the second costs nothing, the last one gives it back."""
    node = await cluster.node()
    first, second = cluster.client(), cluster.client()
    await join(node, first)
    requests = node.broker.head_requests

    joined = await join(node, second)

    assert joined.position == StreamPosition(1, "e1")
    assert (len(node.broker.interests), node.broker.head_requests) == (1, requests)
    await cluster.publish(node, 3)
    assert first.received == second.received == [b"0", b"1", b"2"]
    leave(node, first)
    leave(node, first)
    await cluster.publish(node)
    assert (len(first.received), len(second.received)) == (3, 4)
    leave(node, second)
    assert_empty(node)


async def test_plain_channel_reads_nothing(cluster: Cluster, clock: MockClock) -> None:
    """No position, no head, no recovery: interest and hub only."""
    node = await cluster.node()
    client = cluster.client("plain")

    joined = await join(node, client, StreamPosition(5, "e1"))
    await cluster.publish(node, 2, "plain")

    assert joined == Joined(None)
    assert client.received == [b"0", b"1"]
    assert (node.broker.reads, node.broker.head_requests) == (0, 0)
    leave(node, client)
    assert_empty(node)


async def test_concurrent_joins_share_the_opening(cluster: Cluster, clock: MockClock) -> None:
    """A hundred at once: one interest, one request for the head."""
    node = await cluster.node()
    node.broker.latency_s = 0.1
    clients = [cluster.client() for _ in range(100)]
    async with trio.open_nursery() as joins:
        for client in clients:
            joins.start_soon(join, node, client)

    assert len(node.broker.interests) == 1
    assert node.broker.head_requests == 1


@pytest.mark.parametrize("deadline_s", [0.05, 0.15])
async def test_cancelled_join_leaves_nothing(cluster: Cluster, clock: MockClock, deadline_s: float) -> None:
    """Cancelled while the interest is made or the head is read, the channel is forgotten."""
    node = await cluster.node()
    node.broker.latency_s, node.broker._random = 0.1, Slowly()
    with trio.move_on_after(deadline_s) as scope:
        await node.channels.join(cluster.client().subscribe(), None)
    assert scope.cancelled_caught
    assert node.channels._channels == {}
    await trio.sleep(1)

    assert_empty(node)


async def test_cancelled_join_does_not_disturb_another(cluster: Cluster, clock: MockClock) -> None:
    """The one who began the opening may go: those who share it stay."""
    node = await cluster.node()
    node.broker.latency_s, node.broker._random = 0.1, Slowly()
    async with trio.open_nursery() as joins:
        with trio.move_on_after(0.05):
            joins.start_soon(join, node, client := cluster.client())
            await node.channels.join(cluster.client().subscribe(), None)
    await cluster.publish(node)
    await trio.sleep(1)

    assert client.received == [b"0"]


async def test_failed_join_leaves_nothing(cluster: Cluster, clock: MockClock) -> None:
    """A broker that is away fails every waiting join, and the next one tries again."""
    node = await cluster.node()
    node.broker.break_feed()
    for channel in ("a", "plain"):
        with pytest.raises(BrokerUnavailable):
            await join(node, cluster.client(channel))
    assert_empty(node)
    node.broker.restore_feed()
    node.broker.fail = 1
    with pytest.raises(BrokerError):
        await join(node, cluster.client())
    assert_empty(node)
    node.broker.fail = 0
    await join(node, cluster.client())


async def test_break_is_repaired_for_those_who_stay(cluster: Cluster, clock: MockClock) -> None:
    """What was published while the feed was cut comes afterwards, in order, and nobody is told anything."""
    node, other = await cluster.node(), await cluster.node()
    client = cluster.client()
    await join(node, client)
    await cluster.publish(node, 2)
    node.broker.break_feed()
    await cluster.publish(other, 3)
    node.broker.restore_feed()
    await cluster.publish(other, 2)
    await trio.sleep(1)

    assert len(client.received) == 7
    assert not client.lost
    assert node.metrics.gap_repairs == {"repaired": 1}


async def test_unrepairable_gap_is_told(cluster: Cluster, clock: MockClock) -> None:
    """Who asked for recovery is told and comes back unrecovered; who did not goes on with what there is."""
    node, other = await cluster.node(), await cluster.node()
    tracked, untracked = cluster.client(), cluster.client(tracked=False)
    await join(node, tracked)
    await join(node, untracked)
    node.broker.break_feed()
    await cluster.publish(other, 30)
    node.broker.restore_feed()
    await trio.sleep(1)

    assert tracked.lost
    assert tracked.received == []
    assert untracked.received == [b"%d" % number for number in range(19, 30)]
    assert node.metrics.gap_repairs == {"insufficient_state": 1}
    reads = node.broker.reads
    assert not (await join(node, tracked, tracked.position)).recovered
    assert node.broker.reads == reads


async def test_channel_whose_clients_all_were_told_is_forgotten(cluster: Cluster, clock: MockClock) -> None:
    """Nothing stays behind for a channel that nobody listens to any more."""
    node, other = await cluster.node(), await cluster.node()
    await join(node, cluster.client())
    node.broker.break_feed()
    await cluster.publish(other, 30)
    node.broker.restore_feed()
    await trio.sleep(1)

    assert_empty(node)


async def test_lost_copy_is_noticed_soon_and_periodically(cluster: Cluster, clock: MockClock) -> None:
    """A live copy that never came is made up for, although nothing follows it."""
    node, other = await cluster.node(), await cluster.node()
    client = cluster.client()
    await join(node, client)
    node.broker.drop = 1
    await cluster.publish(other)
    await trio.sleep(1.5)
    assert len(client.received) == 1
    await cluster.publish(other)
    await trio.sleep(41)
    assert len(client.received) == 2
    await cluster.publish(other)
    node.channels.heads_suspect()
    await trio.sleep(0.01)
    assert len(client.received) == 3


async def test_epoch_change_voids_everything(cluster: Cluster, clock: MockClock) -> None:
    """Those who track are told, at a pace; the others go on in the new sequence; nothing old is recovered."""
    node = await cluster.node()
    tracked, untracked = cluster.client(), cluster.client(tracked=False)
    await join(node, tracked)
    await join(node, untracked)
    await cluster.publish(node, 3)
    before = tracked.position
    cluster.store.lose()
    await cluster.publish(node, 1)
    await cluster.publish(node, 2)
    await trio.sleep(1)

    assert tracked.lost
    assert len(tracked.received) == 3
    assert len(untracked.received) >= 5
    assert not (await join(node, tracked, before)).recovered
    assert tracked.position == StreamPosition(4, "e2")


async def test_channels_that_were_moved_are_void(cluster: Cluster, clock: MockClock) -> None:
    """Where a namespace is in other streams now, those who track are told, and channels open again."""
    node = await cluster.node()
    tracked, untracked = cluster.client(), cluster.client(tracked=False)
    await join(node, tracked)
    await join(node, untracked)
    await cluster.publish(node, 3)
    node.channels.epoch_changed("", "")
    await trio.sleep(1)
    await cluster.publish(node, 1)

    assert tracked.lost
    assert (len(tracked.received), len(untracked.received)) == (3, 4)


async def test_numbers_for_the_gauges(cluster: Cluster, clock: MockClock) -> None:
    """What the tails hold is known."""
    node = await cluster.node()
    await join(node, cluster.client())
    await cluster.publish(node, 3)

    assert node.channels.tail_publications == 3
    assert node.channels.tail_bytes > 0


async def test_join_needs_run(cluster: Cluster, clock: MockClock) -> None:
    """Forgetting to start the background work is an error of ours, said aloud."""
    node = FakeNode(cluster.store, [])
    with pytest.raises(RuntimeError):
        await node.channels.join(cluster.client().subscribe(), None)


async def test_reads_of_history_are_shared(cluster: Cluster, clock: MockClock) -> None:
    """A crowd that asks for the history of a channel costs one read; of an open channel none but its head."""
    node = await cluster.node()
    await cluster.publish(node, 2)
    found = []

    async def ask(limit: int, reverse: bool) -> None:
        result = await node.channels.history("a", limit=limit, since=None, reverse=reverse)
        found.append(len(result.publications))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask, -1, False)
    assert (found, node.broker.reads) == ([2] * 100, 1)
    await join(node, cluster.client())
    await cluster.publish(node, 1)
    heads = node.broker.head_requests
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask, 1, True)
    assert (found[100:], node.broker.reads, node.broker.head_requests) == ([1] * 100, 1, heads + 1)
