"""Nobody gets what the broker had before it came: that is what it may have seen at another node."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.fakes.clients import RecordingClient
from tests.fakes.cluster import Cluster, FakeNode, Slowly, join


async def settled(cluster: Cluster, node: FakeNode, channel: str) -> RecordingClient:
    """Have somebody in a channel of this node, and its feed slow from then on."""
    await join(node, first := cluster.client(channel, tracked=False))
    node.broker.delay_s, node.broker._random = 10.0, Slowly()
    return first


@pytest.mark.parametrize("channel", ["plain", "a"])
async def test_what_is_older_than_a_client_is_not_for_it(
    cluster: Cluster, clock: MockClock, channel: str
) -> None:
    """Published before it came and delivered late, a message is for those only who were there."""
    node, other = await cluster.node(), await cluster.node()
    first = await settled(cluster, node, channel)
    await cluster.publish(other, channel=channel)
    await join(node, client := cluster.client(channel, tracked=False))
    node.broker.delay_s = 0.0
    await cluster.publish(other, channel=channel)
    await trio.sleep(1)
    assert first.received == [b"0", b"1"]
    assert client.received == [b"1"]


async def test_a_number_noted_early_is_waited_for_once(cluster: Cluster, clock: MockClock) -> None:
    """A client whose number was passed while it said hello joins in the same turn of the loop."""
    node = await cluster.node()
    await settled(cluster, node, "plain")
    node.broker.delay_s = 0.0
    arrived = node.channels.arrive()
    await wait_all_tasks_blocked()
    began = trio.current_time()
    node.broker.delay_s = 10.0
    await node.channels.join(cluster.client("plain").subscribe(), None, arrived)
    assert trio.current_time() == began


async def test_a_feed_that_breaks_holds_nobody_up(cluster: Cluster, clock: MockClock) -> None:
    """What was on its way over a broken connection does not come any more."""
    node, other = await cluster.node(), await cluster.node()
    await settled(cluster, node, "plain")
    await cluster.publish(other, channel="plain")
    client = cluster.client("plain")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join, node, client)
        await wait_all_tasks_blocked()
        node.broker.break_feed()
    node.broker.restore_feed()
    await trio.sleep(20)
    assert client.received == []


async def test_a_silent_feed_keeps_everybody_waiting(cluster: Cluster, clock: MockClock) -> None:
    """A question that nobody answers in time is asked again: what is older may still come."""
    node, other = await cluster.node(), await cluster.node()
    await settled(cluster, node, "plain")
    node.broker.delay_s = 60.0
    await cluster.publish(other, channel="plain")
    client = cluster.client("plain")
    await join(node, client)
    assert trio.current_time() >= 60
    await trio.sleep(300)
    assert client.received == []
