"""`/connection/uni_http_stream` and `/connection/uni_websocket`, by curl and `websockets`."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.integration.backend import publish
from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.sdk_contract import token
from tests.integration.test_plain_forms import CURL, by_curl
from tests.patience import PATIENCE_S

Push = dict[str, Any]
# Opens a stream with a connect request; gives its pushes.
Open = Callable[[NodeProcess, Push], AbstractContextManager[Iterator[Push]]]


@contextmanager
def lines_by_curl(node: NodeProcess, request: Push) -> Iterator[Iterator[Push]]:
    with by_curl(node, "/connection/uni_http_stream", body=json.dumps(request)) as lines:
        yield (push for line in lines if (push := json.loads(line)))


@contextmanager
def messages(node: NodeProcess, request: Push) -> Iterator[Iterator[Push]]:
    # No proxy of the environment between a test and its cluster.
    url = f"{node.ws}/connection/uni_websocket"
    with connect(url, proxy=None, open_timeout=PATIENCE_S) as connection:
        connection.send(json.dumps(request))
        yield (push for text in connection if (push := json.loads(text)))


@pytest.fixture(
    params=[
        pytest.param(lines_by_curl, marks=pytest.mark.skipif(not CURL, reason="no `curl` on the PATH")),
        messages,
    ]
)
def open_(request: pytest.FixtureRequest) -> Open:
    function: Open = request.param
    return function


def test_a_stream_delivers_and_recovers_on_the_other_node(
    cluster: Cluster, open_: Open, channel: str
) -> None:
    """What another node publishes arrives; what was missed is in the answer to the next connect request."""
    here, there = cluster.nodes
    who = {"token": token("ann")}
    with open_(here, {**who, "subs": {channel: {}}}) as pushes:
        granted = next(pushes)["connect"]["subs"][channel]
        publish(there, channel, "first")
        push = next(pushes)
        assert (push["channel"], push["pub"]["data"]) == (channel, "first")
    publish(here, channel, "missed", "too")
    since = {"recover": True, "epoch": granted["epoch"], "offset": push["pub"]["offset"]}
    with open_(there, {**who, "subs": {channel: since}}) as pushes:
        granted = next(pushes)["connect"]["subs"][channel]
        assert granted["recovered"] is True
        assert [publication["data"] for publication in granted["publications"]] == ["missed", "too"]
        publish(here, channel, "live")
        assert next(pushes)["pub"]["data"] == "live"


def test_a_forged_token_ends_the_stream_with_its_reason(cluster: Cluster, open_: Open) -> None:
    """The last push says why, and that coming back is of no use."""
    with open_(cluster.nodes[0], {"token": token("ann")[:-4] + "AAAA"}) as pushes:
        assert next(pushes)["disconnect"]["code"] == 3500
