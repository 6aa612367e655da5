"""A key-value bucket over the feed, on a real server; and that nats-py means the same by it."""

from collections.abc import AsyncIterator, Iterator

import nats.js.errors
import pytest
import trio
import trio_asyncio
from nats.js.api import KeyValueConfig, StorageType

from coordinator.catalog.access import NatsAccess
from coordinator.catalog.nats_link import connect
from node.broker.interface import BrokerUnavailable
from node.broker.nats.feed import Feed
from node.broker.nats.key_value import Bucket
from tests.nats_server import NatsServer
from tests.node.broker.nats.feeds import nats_options, running
from tests.patience import PATIENCE_S

CONFIG = KeyValueConfig(bucket="b", storage=StorageType.MEMORY, ttl=5.0, replicas=1, direct=True)


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def feed(server: NatsServer) -> AsyncIterator[Feed]:
    """Connected, and without a bucket at the server."""
    async with running(nats_options(server.url)) as watched:
        await watched.feed.wait_connected(PATIENCE_S)
        await watched.feed.request("$JS.API.STREAM.DELETE.KV_b", b"", deadline_s=PATIENCE_S)
        yield watched.feed


async def create(bucket: Bucket, max_age_s: float = 5.0) -> bool:
    return await bucket.create(max_age_s=max_age_s, replicas=1, deadline_s=PATIENCE_S)


async def test_values_are_read_as_they_were_written(feed: Feed) -> None:
    """The last value counts; a deleted key, and one that never was, have none."""
    bucket = Bucket(feed, "b")
    await create(bucket)
    assert await bucket.get("orders/n=2E1", deadline_s=PATIENCE_S) is None
    first = await bucket.put("orders/n=2E1", b"one", deadline_s=PATIENCE_S)
    second = await bucket.put("orders/n=2E1", b"two", deadline_s=PATIENCE_S)
    assert second > first
    assert await bucket.get("orders/n=2E1", deadline_s=PATIENCE_S) == (b"two", second)
    await bucket.delete("orders/n=2E1", deadline_s=PATIENCE_S)
    assert await bucket.get("orders/n=2E1", deadline_s=PATIENCE_S) is None


async def test_a_key_is_watched(feed: Feed) -> None:
    """Every value written is told, and a deletion; other keys are not."""
    bucket = Bucket(feed, "b")
    await create(bucket)
    told: list[bytes] = []
    subscription = bucket.watch("k", told.append)
    await feed.flush(PATIENCE_S)
    await bucket.put("k", b"one", deadline_s=PATIENCE_S)
    await bucket.put("other", b"x", deadline_s=PATIENCE_S)
    await bucket.delete("k", deadline_s=PATIENCE_S)
    await feed.flush(PATIENCE_S)
    assert told == [b"one", b""]
    feed.unsubscribe(subscription)


async def test_a_value_that_is_not_renewed_vanishes(feed: Feed) -> None:
    """The server itself forgets who is silent."""
    bucket = Bucket(feed, "b")
    await create(bucket, 0.5)
    await bucket.put("k", b"one", deadline_s=PATIENCE_S)
    with trio.fail_after(PATIENCE_S):
        while await bucket.get("k", deadline_s=PATIENCE_S):  # noqa: ASYNC110 - the server sets no event
            await trio.sleep(0.05)


async def test_a_missing_bucket_is_told_from_silence(feed: Feed) -> None:
    """Writing where there is no bucket fails at once, and asking says why."""
    bucket = Bucket(feed, "b")
    assert not await bucket.exists(deadline_s=PATIENCE_S)
    with pytest.raises(BrokerUnavailable):
        await bucket.put("k", b"one", deadline_s=PATIENCE_S)
    with pytest.raises(BrokerUnavailable):
        await bucket.get("k", deadline_s=PATIENCE_S)
    assert await create(bucket)
    assert await create(bucket)
    assert await bucket.exists(deadline_s=PATIENCE_S)


async def test_a_bucket_with_other_settings_stays(feed: Feed) -> None:
    """Two versions of a configuration do not change the bucket back and forth."""
    bucket = Bucket(feed, "b")
    assert await create(bucket)
    assert not await create(bucket, 9.0)
    await bucket.put("k", b"one", deadline_s=PATIENCE_S)


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "nats-py first"])
async def test_nats_py_makes_the_same_bucket(server: NatsServer, feed: Feed, ours_first: bool) -> None:
    """Whoever comes first, the other finds the bucket it wants, and reads what was written."""
    bucket = Bucket(feed, "b")
    if ours_first:
        assert await create(bucket)
    async with trio_asyncio.open_loop() as loop:
        link = await connect(loop, NatsAccess(url=server.url), "test")
        theirs = await link.ask(link.jetstream.create_key_value(CONFIG))
        assert await create(bucket)
        await bucket.put("k", b"one", deadline_s=PATIENCE_S)
        assert (await link.ask(theirs.get("k"))).value == b"one"
        await link.ask(theirs.put("k", b"two"))
        found = await bucket.get("k", deadline_s=PATIENCE_S)
        assert found is not None
        assert found[0] == b"two"
        await bucket.delete("k", deadline_s=PATIENCE_S)
        with pytest.raises(nats.js.errors.KeyNotFoundError):
            await link.ask(theirs.get("k"))
        await link.close()
