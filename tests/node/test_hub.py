"""The hub: who gets what, in which order, and how often the bytes are made."""

from collections.abc import Sequence

import pytest
import trio
from msgspec import Raw
from trio.testing import MockClock

from node.hub import Hub, Subscription
from node.protocol.errors import UnencodablePayload
from node.protocol.messages import Publication
from node.telemetry.metrics import Metrics


class Framing:
    """Frames a publication as `channel:data;` and counts how often."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.encoded = 0

    def publication(self, channel: str, publication: Publication) -> bytes:
        if bytes(publication.data) == b"binary":
            raise UnencodablePayload(channel)
        self.encoded += 1
        return f"{self.name}{channel}:{bytes(publication.data).decode()};".encode()

    def join(self, frames: Sequence[bytes]) -> bytes:
        return b"".join(frames)


class Client:
    """Keeps what it is written and told."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.unencodable: list[str] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def payload_unencodable(self, channel: str) -> None:
        self.unencodable.append(channel)

    def subscription_lost(self, subscription: Subscription) -> None:
        raise AssertionError(subscription.channel)


FRAMING = Framing()


def subscribed(hub: Hub, channel: str, framing: Framing = FRAMING) -> tuple[Client, Subscription]:
    client = Client()
    subscription = Subscription(channel, client, framing, client, tracked=False)
    hub.add(subscription)
    return client, subscription


def publication(text: str) -> Publication:
    return Publication(data=Raw(text.encode()))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def hub(nursery: trio.Nursery, metrics: Metrics) -> Hub:
    hub = Hub(metrics)
    nursery.start_soon(hub.run)
    return hub


async def test_one_encoding_and_one_write_for_all_that_came_in_a_turn(hub: Hub, metrics: Metrics) -> None:
    """Publications of one loop turn reach each subscriber joined, encoded once for all of them."""
    framing = Framing()
    clients = [subscribed(hub, "news", framing)[0] for _ in range(100)]
    hub.publish("news", publication("1"))
    hub.publish("news", publication("2"), "repair")
    await trio.testing.wait_all_tasks_blocked()
    assert {tuple(client.writes) for client in clients} == {(b"news:1;news:2;",)}
    assert framing.encoded == 2
    assert metrics.publications_out == {"live": 1, "repair": 1}
    assert (metrics.deliveries, metrics.bytes_out) == (200, 1400)


async def test_each_framing_gets_its_own_bytes(hub: Hub) -> None:
    """Clients of different protocols in one channel each get their form."""
    one, _ = subscribed(hub, "news", Framing("a-"))
    two, _ = subscribed(hub, "news", Framing("b-"))
    hub.publish("news", publication("1"))
    await trio.testing.wait_all_tasks_blocked()
    assert (one.writes, two.writes) == ([b"a-news:1;"], [b"b-news:1;"])


async def test_a_newcomer_gets_only_what_comes_after_it(hub: Hub) -> None:
    """Joining between publication and fan-out starts behind the publication; the others get it."""
    old, _ = subscribed(hub, "news")
    hub.publish("news", publication("before"))
    new, _ = subscribed(hub, "news")
    hub.publish("news", publication("after"))
    await trio.testing.wait_all_tasks_blocked()
    assert b"".join(old.writes) == b"news:before;news:after;"
    assert new.writes == [b"news:after;"]


async def test_a_leaver_gets_nothing_more(hub: Hub, metrics: Metrics) -> None:
    """Leaving between publication and fan-out is respected; an emptied channel is forgotten."""
    client, subscription = subscribed(hub, "news")
    hub.publish("news", publication("1"))
    assert hub.remove(subscription) is True
    assert hub.remove(subscription) is False
    await trio.testing.wait_all_tasks_blocked()
    assert client.writes == []
    assert (hub.channels, metrics.subscriptions) == (0, 0)


async def test_only_what_was_written_is_counted(hub: Hub, metrics: Metrics) -> None:
    """Neither who left before its turn counts as delivered to, nor what a client's protocol cannot carry."""
    _, leaving = subscribed(hub, "news")
    client, _ = subscribed(hub, "news")
    hub.publish("news", publication("1"))
    hub.publish("news", publication("binary"))
    hub.remove(leaving)
    await trio.testing.wait_all_tasks_blocked()
    assert (client.writes, client.unencodable) == ([b"news:1;"], ["news"])
    assert (metrics.deliveries, metrics.bytes_out) == (1, 7)


async def test_coming_back_in_the_same_turn_doubles_nothing(hub: Hub) -> None:
    """A client that left and joined again before the fan-out does not get the earlier publication."""
    client, subscription = subscribed(hub, "news")
    hub.publish("news", publication("1"))
    hub.remove(subscription)
    hub.add(Subscription("news", client, FRAMING, client, tracked=False))
    hub.publish("news", publication("2"))
    await trio.testing.wait_all_tasks_blocked()
    assert client.writes == [b"news:2;"]


async def test_a_large_fan_out_gives_way_and_keeps_its_order(autojump_clock: MockClock) -> None:
    """With no time at all for a slice, small channels are served between the blocks of a large one."""
    hub = Hub(Metrics(), slice_s=0.0001)
    order: list[str] = []

    class Slow(Client):
        def write(self, data: bytes) -> None:
            order.append("large")
            super().write(data)
            _burn()

    large = [Slow() for _ in range(400)]
    for client in large:
        hub.add(Subscription("large", client, FRAMING, client, tracked=False))

    class Quick(Client):
        def write(self, data: bytes) -> None:
            order.append("small")
            super().write(data)

    quick = Quick()
    hub.add(Subscription("small", quick, FRAMING, quick, tracked=False))
    hub.publish("large", publication("1"))
    hub.publish("large", publication("2"))
    hub.publish("small", publication("1"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        await trio.testing.wait_all_tasks_blocked()
        hub.publish("large", publication("3"))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert order.index("small") < 100
    assert {b"".join(client.writes) for client in large} == {b"large:1;large:2;large:3;"}
    assert hub.idle


async def test_what_comes_during_a_long_walk_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel whose walks take longer than its publications are apart catches up: they are joined."""
    clock_s = 0.0
    hub = Hub(Metrics(), slice_s=0.5)
    to_come = [publication(str(number)) for number in range(2, 12)]

    class Slow(Client):
        def write(self, data: bytes) -> None:
            nonlocal clock_s
            super().write(data)
            clock_s += 0.01
            # The eleventh client of a hundred and so on: in the middle of a walk of several slices.
            if to_come and len(self.writes) == 1 and int(clock_s * 100) % 10 == 1:
                hub.publish("large", to_come.pop(0))

    monkeypatch.setattr("node.hub.perf_counter", lambda: clock_s)
    clients = [Slow() for _ in range(100)]
    for client in clients:
        hub.add(Subscription("large", client, FRAMING, client, tracked=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        hub.publish("large", publication("1"))
        await trio.testing.wait_all_tasks_blocked()
        hub.hasten()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    later = b"".join(b"large:%d;" % number for number in range(2, 12))
    assert {tuple(client.writes) for client in clients} == {(b"large:1;", later)}
    assert hub.idle


async def test_newcomers_multiply_nobodys_writes(hub: Hub) -> None:
    """Who joins between publications starts behind what came before, and the others still have one write."""
    old = [subscribed(hub, "news")[0] for _ in range(10)]
    new = []
    for number in range(5):
        hub.publish("news", publication(str(number)))
        new += [subscribed(hub, "news") for _ in range(2)]
    hub.remove(new[0][1])
    await trio.testing.wait_all_tasks_blocked()
    whole = b"news:0;news:1;news:2;news:3;news:4;"
    assert [client.writes for client in old] == [[whole]] * 10
    assert [client.writes for client, _ in new] == [
        [],
        *[[whole[7 * before :]] if before < 5 else [] for before in (1, 2, 2, 3, 3, 4, 4, 5, 5)],
    ]
    hub.publish("news", publication("5"))
    await trio.testing.wait_all_tasks_blocked()
    assert [client.writes[-1:] for client, _ in new] == [[], *[[b"news:5;"]] * 9]


@pytest.mark.parametrize(
    ("walk_s", "waits_s"), [(0.0004, 0.0), (0.0015, 0.0015), (0.1, 0.002)], ids=["short", "long", "longest"]
)
async def test_a_channel_rests_after_a_long_walk_and_joins_what_comes_meanwhile(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, walk_s: float, waits_s: float
) -> None:
    """As long as the walk took, within bounds; who is quickly served never waits, nor another channel."""
    clock_s = 0.0

    class Slow(Client):
        def write(self, data: bytes) -> None:
            nonlocal clock_s
            super().write(data)
            clock_s += walk_s

    monkeypatch.setattr("node.hub.perf_counter", lambda: clock_s)
    hub, slow, quick = Hub(Metrics()), Slow(), Client()
    hub.add(Subscription("large", slow, FRAMING, slow, tracked=False))
    hub.add(Subscription("small", quick, FRAMING, quick, tracked=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        hub.publish("large", publication("1"))
        await trio.testing.wait_all_tasks_blocked()
        assert slow.writes == [b"large:1;"]
        hub.publish("large", publication("2"))
        hub.publish("small", publication("1"))
        await trio.testing.wait_all_tasks_blocked()
        assert quick.writes == [b"small:1;"]
        assert slow.writes[1:] == ([] if waits_s else [b"large:2;"])
        assert hub.idle == (not waits_s)
        hub.publish("large", publication("3"))
        if waits_s:
            mock_clock.jump(waits_s * 0.99)
            await trio.testing.wait_all_tasks_blocked()
            assert len(slow.writes) == 1
            mock_clock.jump(waits_s * 0.01 + 1e-9)
        await trio.testing.wait_all_tasks_blocked()
        assert slow.writes[1:] == ([b"large:2;large:3;"] if waits_s else [b"large:2;", b"large:3;"])
        assert hub.idle
        nursery.cancel_scope.cancel()


async def test_a_channel_is_not_left_to_rest_when_somebody_waits(
    mock_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hastened, it is walked over at once, and all is written."""
    clock_s = 0.0

    class Slow(Client):
        def write(self, data: bytes) -> None:
            nonlocal clock_s
            super().write(data)
            clock_s += 0.001

    monkeypatch.setattr("node.hub.perf_counter", lambda: clock_s)
    hub, client = Hub(Metrics()), Slow()
    hub.add(Subscription("news", client, FRAMING, client, tracked=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        hub.publish("news", publication("1"))
        await trio.testing.wait_all_tasks_blocked()
        hub.publish("news", publication("2"))
        await trio.testing.wait_all_tasks_blocked()
        assert client.writes == [b"news:1;"]
        hub.hasten()
        await trio.testing.wait_all_tasks_blocked()
        assert client.writes == [b"news:1;", b"news:2;"]
        assert hub.idle
        nursery.cancel_scope.cancel()


def _burn() -> None:
    sum(range(200))


async def test_a_payload_one_protocol_cannot_carry_ends_only_its_clients(hub: Hub) -> None:
    """What came before the bad payload is delivered, then those clients are told; others go on."""
    client, _ = subscribed(hub, "news")
    other, _ = subscribed(hub, "other")
    hub.publish("news", publication("1"))
    hub.publish("news", publication("binary"))
    hub.publish("other", publication("1"))
    await trio.testing.wait_all_tasks_blocked()
    assert client.writes == [b"news:1;"]
    assert client.unencodable == ["news"]
    assert (other.writes, other.unencodable) == ([b"other:1;"], [])


async def test_channels_without_subscribers_cost_nothing(hub: Hub) -> None:
    """Publishing where nobody listens queues nothing."""
    hub.publish("nobody", publication("1"))
    assert hub.idle
