"""The API's methods on structs."""

from base64 import b64encode

import pytest
import structlog
import trio
from msgspec import Raw

from node.api.messages import (
    BroadcastRequest,
    ChannelRequest,
    Error,
    HistoryRequest,
    NoFields,
    PublishRequest,
    PublishResult,
    RpcRequest,
)
from node.api.methods import AT_ONCE_MAX, run_each
from node.broker.interface import BrokerUnavailable
from node.members import NodeInfo
from node.protocol.errors import CommandError, UnencodablePayload
from node.protocol.messages import StreamPosition
from node.protocol.reasons import UNKNOWN_CHANNEL
from tests.node.api.fakes import EPOCH, ApiParts

DATA = Raw(b'{"a":1}')


@pytest.fixture
def parts() -> ApiParts:
    return ApiParts()


async def test_publish_answers_with_the_position(parts: ApiParts) -> None:
    """Offset and epoch where the channel keeps history, nothing where it does not."""
    assert await parts.api.publish(PublishRequest(channel="news", data=DATA)) == PublishResult(1, EPOCH)
    assert (
        await parts.api.publish(PublishRequest(channel="plain:a", data=DATA, delta=True)) == PublishResult()
    )


async def test_base64_wins_over_data(parts: ApiParts) -> None:
    """`b64data` carries what JSON cannot."""
    encoded = b64encode(b"\xff\x00").decode()
    await parts.api.publish(PublishRequest(channel="binary:a", data=DATA, b64data=encoded))
    assert parts.fake.published[0][1].data == b"\xff\x00"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (PublishRequest(channel="news", data=DATA, b64data="?"), 107),
        (PublishRequest(channel="news", data=DATA, b64data="é"), 107),
        (PublishRequest(channel="news"), 107),
        (PublishRequest(channel="news", data=Raw(b"null")), 107),
        (PublishRequest(channel="", data=DATA), 107),
        (PublishRequest(channel="undefined:a", data=DATA), 102),
        (PublishRequest(channel="news", data=DATA, version=1), 108),
        (PublishRequest(channel="news", data=DATA, version_epoch="e"), 108),
    ],
)
async def test_bad_publications_are_refused(parts: ApiParts, request_: PublishRequest, code: int) -> None:
    """Each has the code of the reference, and nothing reaches the broker."""
    with pytest.raises(CommandError) as caught:
        await parts.api.publish(request_)
    assert caught.value.error.code == code
    assert parts.fake.published == []


async def test_broadcast_publishes_at_once_and_answers_in_order(parts: ApiParts) -> None:
    """Channels do not wait for each other; the responses stand in the order of the request."""
    parts.fake.gate = trio.Event()
    channels = ("news", "undefined:a", "plain:a", "news2")
    async with trio.open_nursery() as nursery:
        results = []

        async def broadcast() -> None:
            results.append(await parts.api.broadcast(BroadcastRequest(channels=channels, data=DATA)))

        nursery.start_soon(broadcast)
        await trio.testing.wait_all_tasks_blocked()
        assert parts.fake.at_once_max == 3
        parts.fake.gate.set()
    first, unknown, plain, last = results[0].responses
    assert (first.result, last.result) == (PublishResult(1, EPOCH), PublishResult(1, EPOCH))
    assert (plain.result, plain.error) == (PublishResult(), None)
    assert (unknown.result, unknown.error) == (None, Error(102, "unknown channel"))


async def test_a_broken_broker_is_each_channels_own_error(parts: ApiParts) -> None:
    """A broadcast that could not be published says so per channel."""
    parts.fake.failure = BrokerUnavailable("gone")
    result = await parts.api.broadcast(BroadcastRequest(channels=("a", "b"), data=DATA))
    assert [response.error for response in result.responses] == [Error(100, "internal server error")] * 2


async def test_broadcast_needs_channels(parts: ApiParts) -> None:
    """An empty list is a bad request."""
    with pytest.raises(CommandError):
        await parts.api.broadcast(BroadcastRequest(channels=(), data=DATA))


async def test_history_is_read_and_removed(parts: ApiParts) -> None:
    """A limit of 0 asks for the position, a negative one for all, `since` is exclusive."""
    for _ in range(3):
        await parts.api.publish(PublishRequest(channel="news", data=DATA))
    since = StreamPosition(1, EPOCH)
    position = await parts.api.history(HistoryRequest("news"))
    all_of_it = await parts.api.history(HistoryRequest("news", limit=-7))
    rest = await parts.api.history(HistoryRequest("news", limit=-1, since=since, reverse=True))
    assert (position.publications, position.offset, position.epoch) == ((), 3, EPOCH)
    assert [publication.offset for publication in all_of_it.publications] == [1, 2, 3]
    assert [publication.offset for publication in rest.publications] == [3, 2]
    await parts.api.history_remove(ChannelRequest("news"))
    assert parts.fake.stored == {}


@pytest.mark.parametrize(("channel", "code"), [("", 107), ("undefined:a", 102), ("plain:a", 108)])
async def test_history_needs_a_channel_that_keeps_it(parts: ApiParts, channel: str, code: int) -> None:
    """Empty, unknown and plain channels have the codes of the reference, for reading and removing."""
    for call in (
        parts.api.history(HistoryRequest(channel)),
        parts.api.history_remove(ChannelRequest(channel)),
    ):
        with pytest.raises(CommandError) as caught:
            await call
        assert caught.value.error.code == code


async def test_info_names_the_nodes() -> None:
    """One entry per living node, with what it said of itself."""
    parts = ApiParts([NodeInfo("u1", "n1", num_clients=3, uptime=9), NodeInfo("u2", "n2")])
    result = await parts.api.info(NoFields())
    assert [(node.uid, node.name, node.num_clients, node.uptime) for node in result.nodes] == [
        ("u1", "n1", 3, 9),
        ("u2", "n2", 0, 0),
    ]


async def test_what_is_not_offered_says_so(parts: ApiParts) -> None:
    """Methods of later versions are `not available`, unknown rpc methods `not found`."""
    for call, code in (
        (parts.api.rpc(RpcRequest()), 107),
        (parts.api.rpc(RpcRequest("x")), 104),
        (parts.api.not_available(NoFields()), 108),
        (parts.api.channel_not_available(ChannelRequest("news")), 108),
        (parts.api.channel_not_available(ChannelRequest("undefined:a")), 102),
        (parts.api.channel_not_available(ChannelRequest("")), 107),
    ):
        with pytest.raises(CommandError) as caught:
            await call
        assert caught.value.error.code == code


def test_failures_have_a_code_and_are_counted(parts: ApiParts) -> None:
    """A refusal keeps its code, a broker's failure is internal, a payload JSON cannot carry not available."""
    with structlog.testing.capture_logs() as logs:
        assert parts.api.error_of(CommandError(UNKNOWN_CHANNEL), "publish").code == 102
        assert parts.api.error_of(BrokerUnavailable("gone"), "publish").code == 100
        assert parts.api.error_of(UnencodablePayload("binary"), "history").code == 108
    assert [line["reason"] for line in logs] == ["unknown channel", "gone", "binary"]
    assert all(line["rate_limited"] for line in logs)
    assert parts.metrics.command_errors == {102: 1, 100: 1, 108: 1}


async def test_a_method_that_is_not_offered_says_so(parts: ApiParts) -> None:
    """In the log, too, where a code alone would be a riddle."""
    for call in (
        parts.api.not_available(NoFields()),
        parts.api.channel_not_available(ChannelRequest("news")),
    ):
        with pytest.raises(CommandError) as caught:
            await call
        assert caught.value.detail == "this version does not offer the method"


async def test_many_items_are_run_a_thousand_at_a_time() -> None:
    """However long a broadcast is, the tasks under way are bounded, and every item is run."""
    running, most, seen = 0, 0, set()

    async def run(index: int, item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.lowlevel.checkpoint()
        running -= 1
        seen.add((index, item))

    await run_each(range(3000), run)
    assert most == AT_ONCE_MAX
    assert seen == {(index, index) for index in range(3000)}
