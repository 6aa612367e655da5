"""When heads are asked for, how many at a time, and what an answer is worth."""

from collections.abc import Sequence

import trio
from trio.testing import MockClock

from node.broker.interface import BrokerUnavailable, Head
from node.history.channel import Channel, Sizes
from node.history.checks import Checks
from node.hub import Hub
from node.telemetry.metrics import Metrics
from tests.fakes.cluster import history_options


class HeadsBroker:
    """Answers every request after a second, or fails it."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, list[str]]] = []
        self.fail = False
        self.leave_out: set[str] = set()
        self.pending = 0
        self.pending_max = 0

    async def heads(self, channels: Sequence[str]) -> dict[str, Head]:
        self.requests.append((trio.current_time(), list(channels)))
        self.pending += 1
        self.pending_max = max(self.pending, self.pending_max)
        await trio.sleep(1)
        self.pending -= 1
        if self.fail:
            raise BrokerUnavailable("away")
        return {channel: Head(1, 1, "e") for channel in channels if channel not in self.leave_out}


class Bench:
    """Checks that run, and what they said."""

    def __init__(self, nursery: trio.Nursery, batch: int = 10) -> None:
        self.broker = HeadsBroker()
        self.compared: list[tuple[float, str, bool]] = []
        self.active: list[Channel] = []
        self.feed: int | None = 0
        self.began = trio.current_time()
        self.checks = Checks(
            self.broker,
            batch=batch,
            delays_s=(2.0, 5.0),
            interval_s=100.0,
            active=lambda: self.active,
            compared=lambda channel, _head, stood: self.compared.append((self.now(), channel.name, stood)),
            feed=lambda: self.feed,
        )
        nursery.start_soon(self.checks.run)

    def now(self) -> float:
        return round(trio.current_time() - self.began, 3)


def channels(count: int, spaces: int = 1) -> list[Channel]:
    hub = Hub(Metrics())
    sizes = Sizes(1, 1, 1)
    options = history_options()
    return [
        Channel(f"c{number}", f"n{number % spaces}", options, hub, sizes, lambda *_: None)
        for number in range(count)
    ]


async def test_batches(clock: MockClock, nursery: trio.Nursery) -> None:
    """Many channels share a request, a few requests run at the same time, nobody is forgotten."""
    bench = Bench(nursery)
    bench.checks.now(channels(95))
    await trio.sleep(20)

    assert len(bench.compared) == 95
    assert len(bench.broker.requests) == 10
    assert bench.broker.pending_max == 4
    nursery.cancel_scope.cancel()


async def test_namespaces_do_not_share_requests(clock: MockClock, nursery: trio.Nursery) -> None:
    """A store that does not answer for one of them fails only those who wait for it; all get their turn."""
    bench = Bench(nursery)
    bench.checks.now(channels(50, spaces=2))
    await trio.sleep(20)

    assert len(bench.compared) == 50
    for _, names in bench.broker.requests:
        assert len({int(name[1:]) % 2 for name in names}) == 1
    nursery.cancel_scope.cancel()


async def test_what_comes_meanwhile_makes_one_batch(clock: MockClock, nursery: trio.Nursery) -> None:
    """Openings one by one are grouped while the store is busy."""
    bench = Bench(nursery, batch=100)
    for channel in channels(60):
        bench.checks.now([channel])
        await trio.sleep(0.01)
    await trio.sleep(10)

    assert len(bench.compared) == 60
    assert len(bench.broker.requests) <= 6
    nursery.cancel_scope.cancel()


async def test_soon_and_periodically(clock: MockClock, nursery: trio.Nursery) -> None:
    """After each of the delays, and at every interval; closed channels are left out."""
    bench = Bench(nursery)
    open_one, closed = channels(2)
    closed.closed = True
    bench.active = [open_one]
    bench.checks.soon([open_one, closed])
    await trio.sleep(250)

    assert bench.compared == [(time_s, "c0", True) for time_s in (3, 6, 101, 201)]
    nursery.cancel_scope.cancel()


async def test_answer_across_a_break_verifies_nothing(clock: MockClock, nursery: trio.Nursery) -> None:
    """It is compared all the same: what it shows is true."""
    bench = Bench(nursery)
    bench.checks.now(channels(1))
    await trio.sleep(0.5)
    bench.feed = 1
    await trio.sleep(2)

    assert bench.compared == [(1, "c0", False)]
    nursery.cancel_scope.cancel()


async def test_answer_for_an_earlier_life_is_dropped(clock: MockClock, nursery: trio.Nursery) -> None:
    """A head asked for before a restart must not open the chain after it."""
    bench = Bench(nursery)
    (channel,) = channels(1)
    bench.checks.now([channel])
    await trio.sleep(0.5)
    channel.restart()
    await trio.sleep(5)

    assert bench.compared == []
    nursery.cancel_scope.cancel()


async def test_failures_are_retried_and_told(clock: MockClock, nursery: trio.Nursery) -> None:
    """Who waits learns of it; the question is asked again; one left-out channel does not spoil the others."""
    bench = Bench(nursery)
    first, second = channels(2)
    bench.broker.leave_out = {"c1"}
    bench.checks.now([first, second])
    await trio.sleep(1.2)
    assert (first.failures, second.failures) == (0, 1)
    bench.broker.leave_out = set()
    bench.broker.fail = True
    await trio.sleep(1.5)
    assert (first.failures, second.failures) == (0, 2)
    bench.broker.fail = False
    await trio.sleep(5)

    assert [name for _, name, _ in bench.compared] == ["c0", "c1"]
    nursery.cancel_scope.cancel()


async def test_broken_feed_is_not_asked_again_and_again(clock: MockClock, nursery: trio.Nursery) -> None:
    """Those who wait go on waiting: everything is compared when the feed is back."""
    bench = Bench(nursery)
    (channel,) = channels(1)
    bench.feed = None
    bench.broker.fail = True
    bench.checks.now([channel])
    await trio.sleep(50)

    assert len(bench.broker.requests) == 1
    assert channel.failures == 0
    nursery.cancel_scope.cancel()
