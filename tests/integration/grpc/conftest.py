"""Two nodes that serve gRPC and one that serves HTTP, for tests that leave them as they found them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cluster import API_KEY, Cluster, NodeProcess
from tests.integration.grpc.clients import Caller

OPTIONS: dict[str, Any] = {
    "client": {"ping_interval": "2s", "pong_timeout": "1900ms", "queue_max_size": 200_000},
    "grpc_server": {"address": "127.0.0.1", "port": 0},
    "grpc_api": {"enabled": True, "key": API_KEY},
    "uni_grpc": {"enabled": True},
    "shutdown": {"timeout": "10s"},
}


@pytest.fixture(scope="package")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster; its first node serves HTTP, the others gRPC."""
    with Cluster(tmp_path_factory.mktemp("mixed"), nodes=1, **OPTIONS) as cluster:
        cluster.start_nodes("grpc-1", "grpc-2", serve="grpc")
        yield cluster


@pytest.fixture
def node(mixed: Cluster) -> NodeProcess:
    """A node that serves gRPC."""
    return mixed.nodes[1]


@pytest.fixture
def here(node: NodeProcess) -> Iterator[Caller]:
    """A client of that node."""
    with Caller(node.grpc) as caller:
        yield caller


@pytest.fixture
def there(mixed: Cluster) -> Iterator[Caller]:
    """A client of the other one."""
    with Caller(mixed.nodes[2].grpc) as caller:
        yield caller
