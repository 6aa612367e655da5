"""Reading what is missing: retries, giving up, and not giving up while the feed is cut."""

import trio
from trio.testing import MockClock

from node.broker.interface import Head, Live, Message
from node.history.channel import Channel, Sizes
from node.history.repair import Repairs
from node.hub import Hub
from node.telemetry.metrics import Metrics
from tests.fakes.broker import FakeBroker
from tests.fakes.cluster import history_options
from tests.fakes.store import Store


class Bench:
    """A channel whose chain misses two of three messages."""

    def __init__(self, options_size: int = 10) -> None:
        self.store = Store(options_size)
        self.broker = FakeBroker(self.store)
        self.broker.deadline_s = 0.5
        self.metrics = Metrics()
        self.lost = 0
        self.restarted = 0
        self.repairs = Repairs(self.broker, self.metrics, self.lose, self.restart)
        self.channel = self.make_channel()

    def make_channel(self, name: str = "a") -> Channel:
        channel = Channel(
            name,
            "",
            history_options(self.store.size),
            Hub(Metrics()),
            Sizes(10, 1_000_000, 300),
            lambda _channel, _step: None,
        )
        channel.compare(self.store.replica(0, leader=True).head(name, self.store.epoch), 0.0)
        for _ in range(3):
            live = self.store.add(name, Message(b""), trio.current_time())
        channel.deliver(live)
        return channel

    def lose(self, channel: Channel) -> None:
        self.lost += 1

    def restart(self, channel: Channel) -> None:
        self.restarted += 1
        channel.restart()

    async def fill(self) -> None:
        await self.repairs.fill(self.channel, self.channel.chain)


async def test_gap_is_filled(clock: MockClock) -> None:
    """One read, counted as a repair."""
    bench = Bench()
    await bench.fill()

    assert bench.channel.chain.waiting is None
    assert bench.channel.top.offset == 4
    assert bench.broker.reads == 1
    assert bench.metrics.gap_repairs == {"repaired": 1}


async def test_failing_reads_are_repeated(clock: MockClock) -> None:
    """A store that answers in the end loses nobody anything."""
    bench = Bench()
    bench.broker.fail = 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.fill)
        await trio.sleep(1.5)
        assert bench.broker.reads > 1
        bench.broker.fail = 0

    assert bench.channel.chain.waiting is None
    assert bench.metrics.gap_repairs == {"repaired": 1}


async def test_giving_up_is_told(clock: MockClock) -> None:
    """After a few attempts the channel begins anew, and whoever tracked it is told."""
    bench = Bench()
    bench.broker.fail = 1
    await bench.fill()

    assert bench.restarted == 1
    assert bench.broker.reads < 10
    assert bench.metrics.gap_repairs == {"abandoned": 1}


async def test_message_that_no_store_has_is_not_waited_for_for_ever(clock: MockClock) -> None:
    """A copy from a sequence that is gone cannot be reached by any read."""
    bench = Bench()
    await bench.fill()
    bench.channel.deliver(Live(Message(b""), 1000, 999, 0))
    await bench.fill()

    assert bench.restarted == 1


async def test_cut_feed_is_waited_for(clock: MockClock) -> None:
    """Being cut off is no reason to send everybody away: they are behind, nothing is lost."""
    bench = Bench()
    bench.broker.break_feed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.fill)
        await trio.sleep(600)
        bench.broker.restore_feed()

    assert (bench.restarted, bench.lost) == (0, 0)
    assert bench.metrics.gap_repairs == {"repaired": 1}


async def test_hole_is_told(clock: MockClock) -> None:
    """What the store let go cannot be made up for."""
    bench = Bench(options_size=1)
    await bench.fill()

    assert bench.lost == 1
    assert bench.channel.chain.waiting is None
    assert bench.metrics.gap_repairs == {"insufficient_state": 1}


async def test_page_of_another_epoch_restarts(clock: MockClock) -> None:
    """Nothing of one sequence is put behind another."""
    bench = Bench()
    bench.store.lose()
    for _ in range(10):
        bench.store.add("a", Message(b""), 0.0)
    await bench.fill()

    assert bench.restarted == 1
    assert bench.channel.chain.epoch == ""


async def test_closed_channel_is_left_alone(clock: MockClock) -> None:
    """A page, or an error, that comes after the last one left changes nothing."""
    for fail in (0, 1):
        bench = Bench()
        bench.broker.fail = fail
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.fill)
            await trio.testing.wait_all_tasks_blocked()
            bench.channel.closed = True
            bench.channel.chain.missing = 0
            bench.broker.latency_s = 0.1

        assert bench.metrics.gap_repairs.get("abandoned") is None
        assert bench.restarted == 0


async def test_renewed_proof_is_no_repair(clock: MockClock) -> None:
    """A read that brings nothing new is not counted."""
    bench = Bench()
    await bench.fill()
    bench.channel.chain.hold()
    await bench.fill()

    assert bench.channel.chain.waiting is None
    assert bench.metrics.gap_repairs == {"repaired": 1}


async def test_few_channels_are_read_at_once(clock: MockClock) -> None:
    """A break that leaves gaps in all channels does not flood the store."""
    bench = Bench()
    reading = reading_max = 0
    read = bench.broker.read

    async def count(*arguments: object, **options: object) -> object:
        nonlocal reading, reading_max
        reading += 1
        reading_max = max(reading, reading_max)
        await trio.sleep(0.1)
        try:
            return await read(*arguments, **options)
        finally:
            reading -= 1

    bench.broker.read = count
    many = [bench.make_channel(f"c{number}") for number in range(200)]
    async with trio.open_nursery() as nursery:
        for channel in many:
            nursery.start_soon(bench.repairs.fill, channel, channel.chain)

    assert all(channel.chain.waiting is None for channel in many)
    assert reading_max == 32


async def test_readers_share_pages(clock: MockClock) -> None:
    """The lowest position wanted decides; later ones need no read of their own."""
    bench = Bench()
    bench.channel.compare(Head(4, 4, "e1"), 0.0)
    await bench.fill()
    bench.channel.tail.restart(4, stored=True)
    bench.channel.hold_tail()
    bench.channel.wanted = {3, 2}
    reads = bench.broker.reads
    await bench.repairs.recover(bench.channel)

    assert bench.broker.reads == reads + 1
    assert [entry.offset for entry in bench.channel.tail.since(2) or []] == [3, 4]
    assert bench.channel.reading_since is None
