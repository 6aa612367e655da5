"""What a node says about itself over HTTP: the demo page, probes, metrics. No sockets, no ASGI."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from node.pages import Page
from node.telemetry.metrics import Metrics

_TEXT = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"))
_JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_NO_DEMO = b"This is a node of a broadcast cluster. Its demo page is off (demo.enabled).\n"


class Content(NamedTuple):
    """An answer.

    Attributes:
        status: the HTTP status.
        body: as it is sent.
        fields: header fields that belong to it, names in lower case.
    """

    status: int
    body: bytes
    fields: tuple[tuple[bytes, bytes], ...] = _TEXT


class Endpoint(NamedTuple):
    """A page.

    Attributes:
        content: made anew for each request.
        methods: that are allowed beside OPTIONS.
    """

    content: Callable[[], Content]
    methods: tuple[str, ...] = ("GET", "HEAD")


def endpoints(
    metrics: Metrics,
    not_ready: Callable[[], str],
    demo: Page | None,
    caution: Callable[[], str] = lambda: "",
) -> Mapping[str, Endpoint]:
    """The pages by path.

    Args:
        metrics: shown at /metrics.
        not_ready: why new clients should not come here, "" if they should.
        demo: the page at /, None to leave it out.
        caution: what does not work although clients may come, "" for nothing.
    """
    root = Content(404, _NO_DEMO) if demo is None else Content(200, demo.body, demo.headers)
    nothing = Content(200, b"{}", _JSON)

    def readyz() -> Content:
        reason = not_ready()
        if reason:
            return Content(503, f"{reason}\n".encode())
        note = caution()
        return Content(200, f"ready, but {note}\n".encode() if note else b"ready\n")

    def rendered() -> Content:
        return Content(200, metrics.render(), ((b"content-type", metrics.content_type.encode()),))

    return {
        "/": Endpoint(lambda: root),
        # Whoever can answer is alive; what it can do is /readyz's business.
        "/livez": Endpoint(lambda: Content(200, b"alive\n")),
        "/readyz": Endpoint(readyz),
        "/health": Endpoint(lambda: nothing),
        "/metrics": Endpoint(rendered),
        # Centrifugo's SDKs ask here whether the server is there, before they choose a transport.
        "/connection/init": Endpoint(lambda: nothing, ("GET", "HEAD", "POST")),
    }


def not_found(paths: Mapping[str, object]) -> Content:
    """The answer for a path that is nobody's.

    Args:
        paths: by which the ones that exist are named.
    """
    return Content(404, f"There is nothing here. There is: {', '.join(sorted(paths))}\n".encode())
