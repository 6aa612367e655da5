"""The operator's page in a real browser: the token, the nodes, a drain from its button to its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster
from tests.integration.coordinator.processes import TOKEN, CoordinatorProcess
from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.test_demo_page import CHROMIUM, Tab

pytestmark = [
    *NEEDS_NODE,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the PATH"),
]
ROWS, PLANS, STATUS = "#nodes tbody tr", "#plans > li", "#status"


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    """A coordinator of two nodes."""
    directory = tmp_path_factory.mktemp("page")
    # Long enough for somebody who cancels a drain by hand.
    drain = {"arrivals_quiet_s": 4, "arrivals_wait_max_s": 60}
    with Cluster(directory, nodes=2, drain=drain) as cluster:
        assert cluster.nats is not None
        with CoordinatorProcess(directory, "one", cluster.nats.url) as coordinator:
            yield coordinator


@pytest.fixture(scope="module")
def browser() -> Iterator[Program]:
    """A browser; no page of it may ever raise an error."""
    with Program("demo_page.mjs", CHROMIUM) as browser:
        browser.expect("launched")
        yield browser
        assert browser.left("trouble") == []


@pytest.fixture
def page(browser: Program, coordinator: CoordinatorProcess) -> Iterator[Tab]:
    """The page, opened with the token."""
    page = Tab(browser, f"{coordinator.http}/")
    page.do("fill", selector="#token", text=TOKEN)
    page.do("click", selector="#login button")
    page.shows("live", STATUS)
    yield page
    page.do("close")


def test_without_the_token_nothing_is_shown(browser: Program, coordinator: CoordinatorProcess) -> None:
    """The page asks for it, says when it is wrong, and forgets it when it is told to."""
    page = Tab(browser, f"{coordinator.http}/")
    page.shows("waiting for the token", STATUS)
    assert page.do("texts", selector=ROWS) == []
    page.do("fill", selector="#token", text="wrong")
    page.do("click", selector="#login button")
    page.shows("That was not it", "#login-note")
    page.do("fill", selector="#token", text=TOKEN)
    page.do("click", selector="#login button")
    page.shows("node-1", ROWS)
    page.do("click", selector="#forget")
    page.shows("waiting for the token", STATUS)
    page.do("close")


def test_a_node_is_drained_and_put_back_by_buttons(page: Tab, tmp_path: Path) -> None:
    """Drain opens the form, the plan shows how far it is, Undrain puts the node back."""
    page.shows("one leads", "#leader")
    page.shows("serving", f"{ROWS}:has-text('node-1')")
    page.do("click", selector=f"{ROWS}:has-text('node-1') .drain")
    page.do("fill", selector="#drain-deadline", text="30")
    page.do("click", selector="#drain-go")
    page.shows("node-1 is being drained", "#result")
    page.shows("drained", f"{ROWS}:has-text('node-1')")
    page.shows("done", f"{PLANS}:has-text('node-1')")
    page.do("click", selector=f"{ROWS}:has-text('node-1') .undrain")
    page.shows("serving", f"{ROWS}:has-text('node-1')")


def test_a_drain_is_cancelled_by_its_button(page: Tab) -> None:
    """While it runs it can be ended; its node serves again."""
    page.do("click", selector=f"{ROWS}:has-text('node-2') .drain")
    page.do("click", selector="#drain-go")
    page.do("click", selector=f"{PLANS}:has-text('node-2') .cancel")
    page.shows("cancelled", f"{PLANS}:has-text('node-2')")
    page.shows("serving", f"{ROWS}:has-text('node-2')")


def test_a_refusal_is_said_on_the_page(page: Tab) -> None:
    """A deadline that is impossible is told in the coordinator's words."""
    for node in ("node-1", "node-2"):
        page.do("click", selector=f"{ROWS}:has-text('{node}') .drain")
        page.do("click", selector="#drain-go")
    page.shows("no other node would be left", "#result")


def test_it_fits_a_small_screen(page: Tab) -> None:
    """On a phone nothing makes the page wider than the screen."""
    page.do("resize", width=360, height=740)
    page.shows("node-1", ROWS)
    assert page.do("reach") == 360
