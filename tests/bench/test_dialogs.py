"""Clients of every transport really join and are really delivered to, by nodes of every kind."""

from collections.abc import Iterator

import pytest

from tests.bench.dialogs import TRANSPORTS, dialog
from tests.bench.frames import Target
from tests.bench.load import Load, Plan
from tests.bench.servers import Server, nodes_and_nats, other_node

KINDS = {"gRPC": "grpc", **dict.fromkeys(("websocket over TLS", "sse over TLS", "sse over HTTP/3"), "tls")}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """A node of each kind; what they are sent goes through one and the same."""
    with (
        nodes_and_nats() as ((node,), nats),
        other_node("grpc", nats) as grpc,
        other_node("tls", nats) as secure,
    ):
        yield {"": node, "grpc": grpc, "tls": secure}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_client_has_each_publication(transport: str, servers: dict[str, Server]) -> None:
    """Transports are compared by deliveries that took place."""
    server = servers[KINDS.get(transport, "")]
    load = Load()
    load.connect([server.target], transport, 5)
    report = load.publish_and_receive(servers[""].target, Plan(100.0, 10, size=200))
    load.disconnect()
    assert (report.came, report.answers, len(report.samples)) == (50, 10, 50)


def test_a_client_of_http_2_answers_the_servers_ping() -> None:
    """A server that measures its window by a ping ends connections that leave it without an answer."""
    _, (wanted, answer) = dialog(Target("node", 1, "news", "/"), "gRPC").steps
    assert wanted == b"news"
    assert callable(answer)
    ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00"
    assert answer(b"before" + ping + b"12345678" + b"news") == ping[:4] + b"\x01" + ping[5:] + b"12345678"
    assert answer(b"news") == b""
