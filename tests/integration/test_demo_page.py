"""The demo page in a real browser: tabs on two nodes, over both transports, and over losses."""

import itertools
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.backend import publish
from tests.integration.cluster import Cluster
from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.proxy import Proxy

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
pytestmark = [
    *NEEDS_NODE,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the PATH"),
]
_numbers = itertools.count(1)
ROWS, CHANNELS, STATUS = "#log li", "#channels li", "#status"
EVENT_SOURCE = "#transports label:has-text('EventSource')"


class Tab:
    """One tab with the page of a node."""

    def __init__(self, browser: Program, url: str) -> None:
        self._browser = browser
        self.name = f"tab-{next(_numbers)}"
        self.do("open", url=url)

    def do(self, command: str, **fields: Any) -> Any:
        """See demo_page.mjs."""
        return self._browser.do(command, tab=self.name, **fields)

    def shows(self, text: str, place: str = ROWS) -> None:
        """Wait until it shows the text."""
        self.do("shows", selector=place, text=text)

    def subscribe(self, channel: str) -> None:
        """As a visitor does."""
        self.do("fill", selector="#subscribe-channel", text=channel)
        self.do("click", selector="#subscribe button")

    def publish(self, channel: str, data: object) -> None:
        """As a visitor does, and wait until the node has accepted it."""
        self.do("fill", selector="#publish-channel", text=channel)
        self.do("fill", selector="#publish-data", text=json.dumps(data))
        self.do("click", selector="#publish button")
        self.shows("accepted", "#publish-result")

    def rows(self, text: str) -> int:
        """How many lines of its log have the text."""
        return sum(text in row for row in self.do("texts", selector=ROWS))


@pytest.fixture(scope="module")
def browser() -> Iterator[Program]:
    """A browser; no page of it may ever raise an error."""
    with Program("demo_page.mjs", CHROMIUM) as browser:
        browser.expect("launched")
        yield browser
        assert browser.left("trouble") == []


@pytest.fixture(scope="module")
def open_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that show the page to everybody."""
    with Cluster(
        tmp_path_factory.mktemp("demo"),
        demo={"enabled": True},
        client={"insecure": True, "allowed_origins": ["*"]},
        http_api={"insecure": True},
        uni_sse={"retry_ms": 50},
    ) as cluster:
        yield cluster


@pytest.fixture
def tab(browser: Program, open_cluster: Cluster, channel: str) -> Iterator[Callable[[int], Tab]]:
    """Opens the page of a node, subscribed to the test's channel."""
    tabs = []

    def open_tab(node: int) -> Tab:
        tab = Tab(browser, f"{open_cluster.nodes[node].http}/#{channel}")
        tabs.append(tab)
        tab.shows("subscribed")
        return tab

    yield open_tab
    for tab in tabs:
        tab.do("close")


def test_what_one_tab_publishes_appears_in_the_other(tab: Callable[[int], Tab], channel: str) -> None:
    """Tabs on two nodes: subscribe in both, publish in one, both show it, and both nodes."""
    here, there = tab(0), tab(1)
    there.publish(channel, {"hello": there.name})
    for one in (here, there):
        one.shows(there.name)
    for name in ("node-1", "node-2"):
        here.shows(name, "#nodes tbody tr")
    here.shows("#", f"{CHANNELS} .position")


def test_another_channel_is_added_and_left(tab: Callable[[int], Tab], channel: str) -> None:
    """What is subscribed on the page gets its publications until it is left."""
    here, there = tab(0), tab(1)
    here.subscribe(f"{channel}-more")
    here.shows(f"{channel}-more", f"{ROWS}:has-text('subscribed')")
    there.publish(f"{channel}-more", "wanted")
    here.shows("wanted")
    here.do("click", selector=f"{CHANNELS}:has-text('{channel}-more') button")
    here.shows("unsubscribed")
    there.publish(f"{channel}-more", "unwanted")
    there.publish(channel, "last")
    here.shows("last")
    assert here.rows("unwanted") == 0


@pytest.mark.parametrize("transport", ["WebSocket", "EventSource"])
def test_a_cut_connection_comes_back_and_recovers(
    tab: Callable[[int], Tab], channel: str, transport: str
) -> None:
    """The Cut button: what is published meanwhile comes once, and the page says that it recovered."""
    here, there = tab(0), tab(1)
    here.do("click", selector=f"#transports label:has-text('{transport}')")
    here.shows("connected", STATUS)
    there.publish(channel, "before")
    here.shows("before")
    here.do("click", selector="#clear")
    here.do("click", selector="#cut")
    there.publish(channel, "meanwhile")
    here.shows("subscribed: recovered")
    here.shows("meanwhile")
    there.publish(channel, "afterwards")
    here.shows("afterwards")
    assert [here.rows(text) for text in ("before", "meanwhile", "afterwards")] == [0, 1, 1]


@pytest.mark.parametrize("transport", ["WebSocket", "EventSource"])
def test_a_killed_node_is_waited_for(
    tab: Callable[[int], Tab], open_cluster: Cluster, channel: str, transport: str
) -> None:
    """A node dies and comes back: its tab reconnects by itself and shows what it missed, once."""
    here, there = tab(0), tab(1)
    here.do("click", selector=f"#transports label:has-text('{transport}')")
    here.shows("connected", STATUS)
    there.publish(channel, "before")
    here.shows("before")
    here.do("click", selector="#clear")
    node = open_cluster.nodes[0]
    node.kill()
    there.publish(channel, "missed")
    open_cluster.nodes[0] = open_cluster.start_node(node.name, node.port)
    here.shows("subscribed: recovered")
    here.shows("missed")
    assert (here.rows("before"), here.rows("missed")) == (0, 1)


def test_event_source_goes_on_where_the_websocket_stood(tab: Callable[[int], Tab], channel: str) -> None:
    """Changing the transport is a reconnect like any other; with EventSource, too, a tab can publish."""
    here, there = tab(0), tab(1)
    there.publish(channel, "first")
    here.shows("first")
    here.do("click", selector=EVENT_SOURCE)
    here.shows("subscribed: recovered")
    here.publish(channel, "second")
    for one in (here, there):
        one.shows("second")
    assert here.rows("first") == 1


def test_a_refused_event_stream_says_why(tab: Callable[[int], Tab], channel: str) -> None:
    """An EventSource is not told why it is refused; the page asks, says it, and goes on without it."""
    here = tab(0)
    here.do("click", selector=EVENT_SOURCE)
    here.subscribe("nobodys:news")
    here.shows("(404)", STATUS)
    here.do("click", selector=f"{CHANNELS}:has-text('nobodys') button")
    here.shows("connected", STATUS)


def test_a_browsers_event_source_comes_back_from_a_node_that_leaves(
    browser: Program, tmp_path: Path, channel: str
) -> None:
    """Refused with 200, `retry:` and the end it tries again, by itself, until a node takes it."""
    leaving_s = {"arrivals_quiet_s": 5, "arrivals_wait_max_s": 10}
    with Cluster(
        tmp_path,
        client={"insecure": True, "allowed_origins": ["*"]},
        demo={"enabled": True},
        drain=leaving_s,
        uni_sse={"retry_ms": 50},
    ) as cluster:
        leaving, stays = cluster.nodes
        leaving.process.send_signal(signal.SIGTERM)
        with Proxy(leaving) as proxy:
            # A page without rules of its own about where it may connect to.
            tab = Tab(browser, f"{stays.http}/livez")
            tab.do("listen", url=f"{proxy.http}/sse?channel={channel}")
            assert set(tab.do("heard", what="CONNECTING", times=3)) == {"open", "CONNECTING"}
            proxy.target = stays
            times = len(tab.do("heard", what="CONNECTING", times=3))
            tab.do("heard", what="open", times=times // 2 + 1)
            while "taken" not in tab.do("heard", what="open", times=1):
                publish(stays, channel, "taken")
            assert "CLOSED" not in tab.do("heard", what="taken", times=1)
            tab.do("close")


def test_it_fits_a_small_screen(tab: Callable[[int], Tab], channel: str) -> None:
    """On a phone nothing is cut off, however long a channel's name and a message are."""
    here = tab(0)
    here.do("resize", width=360, height=740)
    here.subscribe("nobodys:" + "long" * 40)
    here.shows("unknown channel")
    here.publish(channel, "long" * 100)
    here.shows("longlong")
    assert here.do("reach") == 360


def test_data_that_is_not_json_is_not_sent(tab: Callable[[int], Tab]) -> None:
    """A typing error is told beside the button."""
    here = tab(0)
    here.do("fill", selector="#publish-data", text="{hello}")
    here.do("click", selector="#publish button")
    here.shows("Not JSON", "#publish-result")
