"""What a node says about itself."""

from node.door.asgi_pages import endpoints, not_found
from node.pages import demo_page
from node.telemetry.metrics import Metrics


def test_the_demo_page_is_there_when_it_is_on() -> None:
    """The page with its own headers, or a line that says what this is and how to switch it on."""
    page = demo_page()
    content = endpoints(Metrics(), lambda: "", page)["/"].content()
    assert (content.status, content.body, content.fields) == (200, page.body, page.headers)
    content = endpoints(Metrics(), lambda: "", None)["/"].content()
    assert content.status == 404
    assert b"demo.enabled" in content.body


def test_probes_tell_alive_from_ready() -> None:
    """A node that cannot serve clients is alive all the same, and says why it is not ready."""
    reason = ""
    pages = endpoints(Metrics(), lambda: reason, None)
    assert pages["/livez"].content().status == pages["/readyz"].content().status == 200
    reason = "the broker was not reached yet"
    assert pages["/livez"].content().status == 200
    assert pages["/readyz"].content()[:2] == (503, b"the broker was not reached yet\n")


def test_what_does_not_work_is_said_to_who_asks_whether_it_is_ready() -> None:
    """Clients may come, and whoever looks sees what is missing."""
    pages = endpoints(Metrics(), lambda: "", None, lambda: "stream B cannot be used: no quorum")
    answer = pages["/readyz"].content()
    assert answer[:2] == (200, b"ready, but stream B cannot be used: no quorum\n")


def test_metrics_are_prometheus_text() -> None:
    """What is counted now, with the format's content type."""
    metrics = Metrics()
    pages = endpoints(metrics, lambda: "", None)
    metrics.slow_clients = 3
    content = pages["/metrics"].content()
    assert b"broadcast_slow_clients_total 3.0" in content.body
    assert dict(content.fields)[b"content-type"] == metrics.content_type.encode()


def test_sdks_find_the_server() -> None:
    """`/health` and `/connection/init` are empty objects; the latter may be POSTed to."""
    pages = endpoints(Metrics(), lambda: "", None)
    assert pages["/health"].content().body == pages["/connection/init"].content().body == b"{}"
    assert "POST" in pages["/connection/init"].methods


def test_unknown_paths_are_told_what_there_is() -> None:
    """A lost person or program finds its way."""
    content = not_found({"/sse": None, "/livez": None})
    assert (content.status, content.body) == (404, b"There is nothing here. There is: /livez, /sse\n")
