"""Where clients go: those that come by gRPC to nodes that serve it, all others to the rest."""

import random
from pathlib import Path

import pytest

from chaos.history import Session
from chaos.history_file import HistoryWriter, read
from chaos.workload.crowd import Crowd
from chaos.workload.delays import Delays
from chaos.workload.publisher import Address
from chaos.workload.subscriber import Part, Subscriber


@pytest.mark.parametrize(
    ("transport", "node"), [("grpc", "grpc-1"), ("grpc-web", "node-1"), ("ws", "node-1")]
)
def test_a_client_goes_where_its_transport_is_served(transport: str, node: str, tmp_path: Path) -> None:
    """Also when it comes back, and after it changed its transport."""
    with HistoryWriter(tmp_path / "history") as history:
        nodes, grpc_nodes = [Address("node-1", "127.0.0.1", 1)], [Address("grpc-1", "127.0.0.1", 1)]
        part = Part(Crowd(), history, nodes, 5.0, Delays(), grpc_nodes)
        client = Subscriber(
            "client-1", "sse" if transport == "grpc" else "grpc", ["a"], part, random.Random(1)
        )
        client.go_to(node, transport)
        for _ in range(2):
            client.connect()
            client.drop()
        history.close(0.0)
    sessions = [record for record in read(tmp_path / "history") if isinstance(record, Session)]
    assert {(session.transport, session.node) for session in sessions} == {(transport, node)}
