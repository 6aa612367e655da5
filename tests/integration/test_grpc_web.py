"""The npm package grpc-web in pages of Chromium, against nodes of another origin: calls and streams."""

import base64
import json
from collections.abc import Iterator

import pytest

from tests.integration.backend import publish
from tests.integration.cluster import Cluster
from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.sdk_contract import token
from tests.integration.test_cross_origin import CHROMIUM

pytestmark = [
    *NEEDS_NODE,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the PATH"),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes with gRPC-Web on, which take pages of `localhost`."""
    client = {"allowed_origins": ["http://localhost:*"]}
    with Cluster(tmp_path_factory.mktemp("web"), 2, grpc_web={"enabled": True}, client=client) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def browser() -> Iterator[Program]:
    """A browser."""
    with Program("grpc_web.mjs", CHROMIUM) as browser:
        browser.expect("launched")
        yield browser


def open_page(browser: Program, pair: Cluster, node: int, form: str) -> None:
    """A page of the other node's, under another name, whose client talks to this one."""
    origin = f"http://localhost:{pair.nodes[1 - node].port}/livez"
    browser.do("open", **{"from": origin, "url": pair.nodes[node].http, "format": form})


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("form", ["binary", "text"])
def test_calls_publish_and_read(pair: Cluster, browser: Program, channel: str, form: str) -> None:
    """What is published through one node is read through the other; refusals are errors with their code."""
    open_page(browser, pair, 0, form)
    for number in range(2):
        browser.do("call", method="Publish", message={"channel": channel, "data": encoded(number)})
    denied = browser.do("call", method="Publish", message={"channel": "closed:x", "data": encoded(1)})
    assert denied == {"failed": 7}  # PERMISSION_DENIED
    metadata = {"authorization": "Bearer nonsense"}
    forged = browser.do("call", method="History", message={"channel": channel}, metadata=metadata)
    assert forged == {"failed": 16}  # UNAUTHENTICATED
    browser.do("close")
    open_page(browser, pair, 1, form)
    page = browser.do("call", method="History", message={"channel": channel, "limit": -1})
    assert [publication["data"] for publication in page["publications"]] == [encoded(0), encoded(1)]
    browser.do("close")


def test_a_stream_delivers_and_recovers_elsewhere(pair: Cluster, browser: Program, channel: str) -> None:
    """In text, the form that browsers can stream; from one node to the other by position."""
    open_page(browser, pair, 0, "text")
    metadata = {"authorization": f"Bearer {token('ann')}"}
    browser.do("subscribe", message={"channels": [{"channel": channel}]}, metadata=metadata)
    position = browser.expect("event")["told"]["subscribed"]["position"]
    publish(pair.nodes[1], channel, "a")
    publication = browser.expect("event")["told"]["publication"]
    assert publication["data"] == encoded("a")
    browser.do("close")
    publish(pair.nodes[1], channel, "b")
    open_page(browser, pair, 1, "text")
    since = {"epoch": position["epoch"], "offset": publication["offset"]}
    browser.do("subscribe", message={"channels": [{"channel": channel, "since": since}]})
    assert browser.expect("event")["told"]["subscribed"]["recovered"]
    assert browser.expect("event")["told"]["publication"]["data"] == encoded("b")
    browser.do("subscribe", message={"channels": [{"channel": "closed:x"}]})
    failed = browser.expect("failed")
    assert failed["code"] == 7
    assert "closed:x" in failed["message"]
    browser.do("close")
