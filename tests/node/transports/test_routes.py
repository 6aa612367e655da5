"""What is switched on is served, and nothing else."""

import pytest
import trio

from node.transports.routes import body_bytes_max, routes
from tests.node.node_in_memory import MemoryNode, config

ALWAYS = {"/connection/websocket", "/ws", "/connection/uni_sse", "/sse"}


@pytest.mark.parametrize(
    ("section", "paths"),
    [
        ("sse", {"/connection/sse", "/emulation"}),
        ("http_stream", {"/connection/http_stream", "/emulation"}),
        ("uni_http_stream", {"/connection/uni_http_stream"}),
        ("uni_websocket", {"/connection/uni_websocket"}),
        ("grpc_web", {f"/broadcast.edge.v1.Edge/{method}" for method in ("Publish", "History", "Subscribe")}),
    ],
)
async def test_each_transport_has_its_switch(section: str, paths: set[str], nursery: trio.Nursery) -> None:
    """Off, as with the server whose options these are, until it is asked for."""
    for on in (False, True):
        parts = MemoryNode(config(**{f"{section}__enabled": on}), nursery).parts
        streams, websockets = routes(parts)
        assert {*streams, *websockets} == ALWAYS | (paths if on else set())


def test_the_longest_body_of_all() -> None:
    """What is read before it is known whose it is may be as long as the longest one allowed."""
    assert body_bytes_max(config(emulation__max_request_body_size=70_000)) == 70_000
    assert body_bytes_max(config(grpc_web__enabled=True)) == 87_388
    assert body_bytes_max(config(uni_http_stream__max_request_body_size=10)) == 65_536
