"""History as the API and clients see it."""

import pytest
import trio

from node.broker.interface import HistoryOptions, Message
from node.config.options import ChannelOptions
from node.history.reading import read_history
from node.protocol.errors import CommandError
from node.protocol.messages import HistoryResult, StreamPosition
from node.protocol.reasons import BAD_REQUEST, UNRECOVERABLE_POSITION, ReplyError
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
    known: StreamPosition | None = None,
    later_s: float = 0,
) -> HistoryResult:
    return await read_history(
        broker,
        "a",
        options,
        limit=limit,
        since=since,
        reverse=reverse,
        known=known or StreamPosition(),
        now_ms=(trio.current_time() + later_s) * 1000,
    )


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
    broker.store.lag_s = 1.0
    broker.lagging = 1.0
    known = StreamPosition(4, "e1")

    assert (await read(broker, 0, known=known)).offset == 4
    assert offsets(await read(broker, known=known)) == [2, 3, 4]
