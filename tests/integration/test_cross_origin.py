"""centrifuge-js in a real browser, in pages that come from elsewhere than the nodes they talk to."""

import shutil
from collections.abc import Iterator

import pytest

from tests.integration.cluster import Cluster
from tests.integration.javascript import NEEDS_NODE, Program

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
pytestmark = [
    *NEEDS_NODE,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the PATH"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Program]:
    """A browser."""
    with Program("cross_origin.mjs", CHROMIUM) as browser:
        browser.expect("launched")
        yield browser


@pytest.fixture(scope="module")
def choosy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that take pages of `localhost`; to a browser that is another place than 127.0.0.1."""
    client = {"insecure": True, "allowed_origins": ["http://localhost:*"]}
    with Cluster(tmp_path_factory.mktemp("choosy"), client=client) as cluster:
        yield cluster


@pytest.mark.parametrize("transport", ["websocket", "http_stream", "sse"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_may_talk_to_nodes_of_another_origin(
    choosy: Cluster, browser: Program, channel: str, transport: str, host: str
) -> None:
    """The stream of one node, POSTs at the other, both of another origin: if that is allowed, then only."""
    here, there = choosy.nodes
    scheme = "ws" if transport == "websocket" else "http"
    endpoint = f"{scheme}://127.0.0.1:{here.port}/connection/{transport}"
    result = browser.do(
        "converse",
        # From 127.0.0.1 only a page of the very node would be of the same origin.
        page=f"http://{host}:{there.port}/livez",
        transports=[{"transport": transport, "endpoint": endpoint}],
        emulation=f"http://127.0.0.1:{there.port}/emulation",
        channel=channel,
    )
    if host == "localhost":
        assert result == {"transport": transport, "data": {"text": "grüße"}}
    else:
        assert result == {"transport": "", "error": "transport closed"}
