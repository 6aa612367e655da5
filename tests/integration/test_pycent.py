"""pycent, synchronous and asynchronous, as a backend of two nodes."""

import time
from typing import Any, Protocol

import aiohttp
import pytest
from cent import (
    AsyncClient,
    BatchRequest,
    BroadcastRequest,
    CentApiResponseError,
    CentRequest,
    CentUnauthorizedError,
    HistoryRemoveRequest,
    HistoryRequest,
    InfoRequest,
    PresenceRequest,
    PublishRequest,
    StreamPosition,
)

from tests import plain_asyncio
from tests.integration.backend import api_url, backend
from tests.integration.cluster import API_KEY, Cluster, NodeProcess
from tests.patience import PATIENCE_S


class Call(Protocol):
    """One call of the API, over a connection of its own."""

    def __call__(self, node: NodeProcess, request: CentRequest[Any], key: str = API_KEY) -> Any: ...


def call_sync(node: NodeProcess, request: CentRequest[Any], key: str = API_KEY) -> Any:
    with backend(node, key) as client:
        return getattr(client, request.api_method)(request)


def call_async(node: NodeProcess, request: CentRequest[Any], key: str = API_KEY) -> Any:
    async def call() -> Any:
        async with aiohttp.ClientSession() as session:
            client = AsyncClient(api_url(node), key, session=session)
            return await getattr(client, request.api_method)(request)

    return plain_asyncio.run(call())


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    function: Call = request.param
    return function


def stored(call: Call, node: NodeProcess, channel: str) -> list[Any]:
    """What a channel's history holds."""
    page = call(node, HistoryRequest(channel=channel, limit=-1))
    return [publication.data for publication in page.publications]


def test_publish_tells_where(cluster: Cluster, call: Call, channel: str) -> None:
    """Offsets are above zero and grow, over both nodes, in one epoch."""
    positions = [
        call(node, PublishRequest(channel=channel, data={"n": number}))
        for number in range(3)
        for node in cluster.nodes
    ]
    offsets = [position.offset for position in positions]
    assert offsets[0] > 0
    assert offsets == sorted(set(offsets))
    assert len({position.epoch for position in positions}) == 1


@pytest.mark.parametrize("data", [{"a": [1, None]}, [], "text", 0, 1.5, True, "ü" * 30_000])
def test_any_json_is_kept_as_it_is(cluster: Cluster, call: Call, channel: str, data: Any) -> None:
    """Every JSON value but null can be published."""
    call(cluster.nodes[0], PublishRequest(channel=channel, data=data))
    assert stored(call, cluster.nodes[1], channel) == [data]


def test_tags_are_kept(cluster: Cluster, call: Call, channel: str) -> None:
    """What a backend says about a publication is read back with it."""
    call(cluster.nodes[0], PublishRequest(channel=channel, data=1, tags={"kind": "trade"}))
    [publication] = call(cluster.nodes[1], HistoryRequest(channel=channel, limit=1)).publications
    assert publication.tags == {"kind": "trade"}


def test_a_publication_may_pass_history_by(cluster: Cluster, call: Call, channel: str) -> None:
    """`skip_history` leaves the history as it is."""
    call(cluster.nodes[0], PublishRequest(channel=channel, data="stored"))
    call(cluster.nodes[0], PublishRequest(channel=channel, data="live", skip_history=True))
    assert stored(call, cluster.nodes[1], channel) == ["stored"]


def test_broadcast_answers_for_each_channel(cluster: Cluster, call: Call, channel: str) -> None:
    """One unknown channel among others fails alone."""
    channels = [channel, "undefined:channel", f"{channel}-other"]
    result = call(cluster.nodes[0], BroadcastRequest(channels=channels, data=1))
    first, unknown, other = result.responses
    assert first.result.offset > 0
    assert other.result.offset > 0
    assert unknown.error.code == 102
    assert stored(call, cluster.nodes[1], channel) == stored(call, cluster.nodes[1], channels[2]) == [1]


def test_history_is_read_by_position(cluster: Cluster, call: Call, channel: str) -> None:
    """The position alone, some from a position on, and backwards; another epoch is error 112."""
    here, there = cluster.nodes
    positions = [call(here, PublishRequest(channel=channel, data=number)) for number in range(5)]
    top = call(there, HistoryRequest(channel=channel))
    assert top.publications == []
    assert (top.offset, top.epoch) == (positions[-1].offset, positions[-1].epoch)
    since = StreamPosition(offset=positions[1].offset, epoch=top.epoch)
    page = call(there, HistoryRequest(channel=channel, limit=2, since=since))
    assert [publication.data for publication in page.publications] == [2, 3]
    assert [publication.offset for publication in page.publications] == [
        position.offset for position in positions[2:4]
    ]
    page = call(there, HistoryRequest(channel=channel, limit=2, reverse=True))
    assert [publication.data for publication in page.publications] == [4, 3]
    elsewhere = StreamPosition(offset=positions[1].offset, epoch="another")
    with pytest.raises(CentApiResponseError) as failure:
        call(there, HistoryRequest(channel=channel, limit=2, since=elsewhere))
    assert failure.value.code == 112


def test_history_remove_keeps_the_position(cluster: Cluster, call: Call, channel: str) -> None:
    """Nothing is left, on either node, and offsets go on from where they were."""
    here, there = cluster.nodes
    before = call(here, PublishRequest(channel=channel, data="old"))
    call(here, HistoryRemoveRequest(channel=channel))
    assert stored(call, here, channel) == stored(call, there, channel) == []
    top = call(there, HistoryRequest(channel=channel))
    assert top.epoch == before.epoch
    assert top.offset >= before.offset
    after = call(there, PublishRequest(channel=channel, data="new"))
    assert after.epoch == before.epoch
    assert after.offset > before.offset
    assert stored(call, here, channel) == ["new"]


def test_a_key_makes_publishing_idempotent(cluster: Cluster, call: Call, channel: str) -> None:
    """The same key again, on any node: the first position, and one publication. Each channel for itself."""
    here, there = cluster.nodes
    request = PublishRequest(channel=channel, data="once", idempotency_key="key")
    first = call(here, request)
    again = call(there, request)
    assert (again.offset, again.epoch) == (first.offset, first.epoch)
    assert stored(call, here, channel) == ["once"]
    other = PublishRequest(channel=f"{channel}-other", data="too", idempotency_key="key")
    assert call(here, other).offset > first.offset
    assert stored(call, there, f"{channel}-other") == ["too"]


def test_broadcast_with_a_key_publishes_to_every_channel_once(
    cluster: Cluster, call: Call, channel: str
) -> None:
    """A key counts per channel, so one broadcast is a publication in each; repeated, it adds nothing."""
    channels = [channel, f"{channel}-other"]
    request = BroadcastRequest(channels=channels, data=1, idempotency_key="key")
    first, again = (call(node, request).responses for node in cluster.nodes)
    assert [response.result for response in first] == [response.result for response in again]
    assert [stored(call, cluster.nodes[0], name) for name in channels] == [[1], [1]]


@pytest.mark.parametrize("parallel", [False, True], ids=["sequential", "parallel"])
def test_a_batch_answers_every_command(cluster: Cluster, call: Call, channel: str, parallel: bool) -> None:
    """Replies come in the order of the commands, each with its result."""
    requests = [
        PublishRequest(channel=channel, data=0),
        BroadcastRequest(channels=[f"{channel}-a", f"{channel}-b"], data=1),
        InfoRequest(),
        HistoryRequest(channel=f"{channel}-c", limit=1),
        *(PublishRequest(channel=channel, data=number) for number in range(1, 20)),
    ]
    published, broadcast, info, page, *rest = call(
        cluster.nodes[0], BatchRequest(requests=requests, parallel=parallel)
    ).replies
    assert published.offset > 0
    assert all(response.result.offset > 0 for response in broadcast.responses)
    assert info.nodes
    assert page.publications == []
    assert len({position.offset for position in rest}) == 19
    values = stored(call, cluster.nodes[1], channel)
    assert (sorted(values) if parallel else values) == list(range(20))


def test_info_names_the_nodes(cluster: Cluster, call: Call) -> None:
    """Every node tells of all nodes, a new one as soon as they have announced themselves again."""
    wanted = {node.name for node in cluster.nodes}
    deadline = time.monotonic() + PATIENCE_S
    for node in cluster.nodes:
        while not wanted <= {told.name for told in call(node, InfoRequest()).nodes}:
            assert time.monotonic() < deadline, f"{node.name} does not know all of {wanted}"


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (PublishRequest(channel="undefined:channel", data=1), 102, "unknown channel"),
        (HistoryRequest(channel="undefined:channel"), 102, "unknown channel"),
        (PublishRequest(channel="", data=1), 107, "bad request"),
        (PublishRequest(channel="room", data=None), 107, "bad request"),
        (BroadcastRequest(channels=[], data=1), 107, "bad request"),
        (HistoryRequest(channel="plain:channel", limit=1), 108, "not available"),
        (HistoryRemoveRequest(channel="plain:channel"), 108, "not available"),
        (PresenceRequest(channel="room"), 108, "not available"),
    ],
)
def test_errors_have_their_code(
    cluster: Cluster, call: Call, request_: CentRequest[Any], code: int, message: str
) -> None:
    """A call that cannot be served raises what pycent's users catch."""
    with pytest.raises(CentApiResponseError) as failure:
        call(cluster.nodes[0], request_)
    assert (failure.value.code, failure.value.message) == (code, message)


@pytest.mark.parametrize("key", ["", "wrong", API_KEY[:-1]])
def test_a_wrong_key_is_unauthorized(cluster: Cluster, call: Call, key: str) -> None:
    """Nothing is done for who has no key."""
    with pytest.raises(CentUnauthorizedError):
        call(cluster.nodes[0], InfoRequest(), key)
