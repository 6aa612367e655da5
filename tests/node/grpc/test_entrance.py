"""What a gRPC node's entrance has to do with the rest of the node."""

from pathlib import Path

from node.api.methods import Api
from node.grpc.entrance import open_grpc_entrance
from node.readiness import Readiness
from tests.node.door.authority import Authority
from tests.node.node_in_memory import memory_node


async def test_a_node_whose_grpc_port_is_shut_says_so(tmp_path: Path) -> None:
    """To `/readyz` and the coordinator, and certificates it cannot use to whoever reads its metrics."""
    authority = Authority(tmp_path)
    tls = {"cert_pem": str(authority.cert_pem), "key_pem": str(authority.key_pem)}
    options = {f"grpc_server__tls__{name}": value for name, value in tls.items()}
    async with memory_node(grpc_server__tls__enabled=True, **options) as node:
        api = Api(node.publisher, node.channels, node.broker, node.rules, list, node.metrics)
        readiness = Readiness(node.broker, 10.0, str)
        server = open_grpc_entrance(node.parts, api, readiness)._server
        assert readiness.refusal() == ""
        server.shut = "cannot listen"
        assert readiness.refusal() == "cannot listen"
        assert server.tls is not None
        server.tls.unusable = 2
        assert b"broadcast_grpc_certificates_unusable_total 2.0" in node.metrics.render()
