"""History as the API and clients see it."""

import pytest
import trio

from node.broker.interface import Head, HistoryOptions, Message, Page
from node.config.options import ChannelOptions
from node.history.channel import Channel, Sizes
from node.history.reading import Wanted, read_history
from node.hub import Hub
from node.protocol.errors import CommandError
from node.protocol.messages import HistoryResult, StreamPosition
from node.protocol.reasons import BAD_REQUEST, UNRECOVERABLE_POSITION, ReplyError
from node.telemetry.metrics import Metrics
from tests.fakes.broker import FakeBroker
from tests.fakes.cluster import history_options
from tests.fakes.store import Store

_HISTORY = HistoryOptions(5, 60, 600)
_OPTIONS = history_options(5, 60, 600)


async def broker_with(count: int) -> FakeBroker:
    broker = FakeBroker(Store(5))
    for _ in range(count):
        await broker.publish("a", Message(b"1"), _HISTORY)
    return broker


async def read(
    broker: FakeBroker,
    limit: int = -1,
    since: StreamPosition | None = None,
    *,
    reverse: bool = False,
    options: ChannelOptions = _OPTIONS,
    opened: Channel | None = None,
    later_s: float = 0,
) -> HistoryResult:
    async def head(channel: str) -> Head:
        return (await broker.heads([channel]))[channel]

    async def page(key: tuple[str, int]) -> Page:
        same_epoch = opened is not None and opened.top.epoch == broker.store.epoch
        return await broker.read(*key, 100, at_least=opened.top.offset if same_epoch else 0)

    return await read_history(
        head,
        page,
        "a",
        options,
        Wanted(limit, since, reverse),
        opened=opened,
        now_ms=(trio.current_time() + later_s) * 1000,
    )


async def open_at(broker: FakeBroker, since: int, tail_size: int = 100) -> Channel:
    """A channel as a node has it that has followed live from an offset on."""
    options, sizes = history_options(5, 60, 600), Sizes(tail_size, 1_000_000, 100)
    channel = Channel("a", "", options, Hub(Metrics()), sizes, repair=lambda *_: None)
    page = await broker.read("a", 0, 100)
    channel.compare(Head(since, since, page.head.epoch), 0)
    for live in page.messages:
        channel.deliver(live._replace(previous=live.offset - 1))
    return channel


def offsets(result: HistoryResult) -> list[int]:
    return [publication.offset for publication in result.publications]


@pytest.mark.parametrize(
    ("limit", "since", "reverse", "expected"),
    [
        (0, None, False, []),
        (-1, None, False, [4, 5, 6, 7, 8]),
        (2, None, False, [4, 5]),
        (-1, 6, False, [7, 8]),
        (1, 6, False, [7]),
        (-1, 8, False, []),
        (-1, 100, False, []),
        (-1, None, True, [8, 7, 6, 5, 4]),
        (2, None, True, [8, 7]),
        (-1, 6, True, [5, 4]),
        (1, 6, True, [5]),
    ],
)
async def test_page(limit: int, since: int | None, reverse: bool, expected: list[int]) -> None:
    """Limit and an exclusive `since` count what readers see; the position is the top, always."""
    broker = await broker_with(7)
    result = await read(broker, limit, StreamPosition(since) if since is not None else None, reverse=reverse)

    assert offsets(result) == expected
    assert (result.offset, result.epoch) == (8, "e1")


async def test_position_of_an_empty_channel_is_never_zero() -> None:
    """It is how far the read is true."""
    assert await read(await broker_with(0)) == HistoryResult((), "e1", 1)
    assert await read(await broker_with(0), 0) == HistoryResult((), "e1", 1)


async def test_expired_and_removed_are_not_shown() -> None:
    """The store still has them; readers do not see them, and the position stays."""
    broker = await broker_with(3)
    assert offsets(await read(broker, later_s=59)) == [2, 3, 4]
    assert await read(broker, later_s=61) == HistoryResult((), "e1", 4)

    removed = await broker.remove_history("a")

    assert removed.offset == 5
    assert await read(broker) == HistoryResult((), "e1", 5)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"since": StreamPosition(2, "other")}, UNRECOVERABLE_POSITION),
        ({"since": StreamPosition(2, "other"), "limit": 0}, UNRECOVERABLE_POSITION),
        ({"since": StreamPosition(0, ""), "reverse": True}, BAD_REQUEST),
    ],
)
async def test_refusals(arguments: dict, error: ReplyError) -> None:
    """Each has the protocol's error."""
    with pytest.raises(CommandError) as caught:
        await read(await broker_with(3), **arguments)
    assert caught.value.error is error


async def test_lagging_replica_does_not_take_the_position_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What this node has delivered is part of its history, whoever answers."""
    broker = await broker_with(3)
    opened = await open_at(broker, 3)
    broker.store.lag_s = 1.0
    broker.lagging = 1.0

    assert opened.top == StreamPosition(4, "e1")
    assert (await read(broker, 0, opened=opened)).offset == 4
    assert offsets(await read(broker, opened=opened)) == [2, 3, 4]


@pytest.mark.parametrize(
    ("limit", "since", "reverse", "reads"),
    [
        (1, None, True, 0),
        (3, None, True, 0),
        (4, None, True, 1),
        (2, 8, True, 0),
        (-1, None, True, 1),
        (-1, 5, False, 0),
        (1, 6, False, 0),
        (-1, 4, False, 1),
        (1, None, False, 1),
    ],
)
async def test_what_the_tail_has_is_not_read(
    limit: int, since: int | None, reverse: bool, reads: int
) -> None:
    """An open channel answers by itself what its tail is known to have all of, and as the store would."""
    broker = await broker_with(7)
    opened = await open_at(broker, 5)
    position = StreamPosition(since) if since is not None else None
    expected = await read(broker, limit, position, reverse=reverse)
    broker.reads = 0

    assert await read(broker, limit, position, reverse=reverse, opened=opened) == expected
    assert broker.reads == reads


async def test_a_tail_with_all_that_readers_see_answers_everything() -> None:
    """As many as the history's size, or one that has expired: nobody may see what is older."""
    broker = await broker_with(9)
    full, short = await open_at(broker, 4), await open_at(broker, 7)
    for opened, later_s, expected in ((full, 0, [6, 7, 8, 9, 10]), (short, 61, [])):
        broker.reads = 0
        assert offsets(await read(broker, opened=opened, later_s=later_s)) == expected
        assert broker.reads == 0


async def test_a_tail_that_lags_is_no_answer() -> None:
    """What was stored before somebody asks is in the answer, also if its live copy has not come."""
    broker = await broker_with(7)
    opened = await open_at(broker, 5)
    await broker.publish("a", Message(b"1"), _HISTORY)
    assert offsets(await read(broker, 2, reverse=True, opened=opened)) == [9, 8]
    broker.store.lose()
    assert await read(broker, 2, reverse=True, opened=opened) == HistoryResult((), "e2", 1)
