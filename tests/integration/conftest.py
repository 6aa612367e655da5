"""A cluster of two nodes for all tests that leave it as they found it, and a way to it that can be cut."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cluster import OPEN_NAMESPACE, Cluster
from tests.integration.proxy import Proxy

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that no test may harm.

    Their times are short, if longer than a busy machine stands still, and their history is long enough for
    whatever is published during a cut.
    """
    client = {"expired_close_delay": "1s", "ping_interval": "2s", "pong_timeout": "1900ms"}
    channel = {"without_namespace": {**OPEN_NAMESPACE, "history_size": 300}}
    options: dict[str, Any] = {"client": client, "channel": channel, "uni_sse": {"retry_ms": 20}}
    with Cluster(tmp_path_factory.mktemp("cluster"), **options) as cluster:
        yield cluster


@pytest.fixture
def channel() -> str:
    """A channel that nobody has used yet."""
    return f"room-{next(_numbers)}"


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """An address that leads to the first node."""
    with Proxy(cluster.nodes[0]) as proxy:
        yield proxy
