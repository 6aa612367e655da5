"""What is said of HTTP/3 over TCP."""

import pytest

from node.config.alt_svc import alt_svc, alt_svc_line
from node.config.options import Http3Options, HttpServerOptions


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (HttpServerOptions(port=8000), ""),
        (HttpServerOptions(port=8000, http3=Http3Options(enabled=True)), 'h3=":8000"; ma=3600'),
        (
            HttpServerOptions(port=8000, http3=Http3Options(enabled=True, announced_port=443)),
            'h3=":443"; ma=3600',
        ),
        (HttpServerOptions(port=0, http3=Http3Options(enabled=True)), ""),
        (HttpServerOptions(port=8000, http3=Http3Options(announced_port=443)), ""),
    ],
)
def test_the_port_outside_is_said_where_http3_is_on(options: HttpServerOptions, said: str) -> None:
    """Its own number unless another is given; nothing where it is off, or not known yet."""
    assert alt_svc(options) == said
    assert alt_svc_line(options) == (f"Alt-Svc: {said}\r\n" if said else "")
