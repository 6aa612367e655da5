"""Nodes for bad input, and what must hold around every test here.

The fixtures `node` and `impatient` see that another client's stream never stalls meanwhile, and that the node
holds nothing of what came afterwards.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import API_KEY, HMAC_KEY, Cluster, NodeProcess
from tests.integration.hostile.undisturbed import undisturbed
from tests.patience import PATIENCE_S

# A busy machine takes its time, too: only tests of a deadline want a node that waits no longer than this.
IMPATIENT_S = 2.0
QUEUE_BYTES = 65_536


@contextmanager
def a_node(directory: Path, deadline_s: float) -> Iterator[NodeProcess]:
    """A node with small buffers, which only pages of one origin may use.

    Args:
        directory: for its files.
        deadline_s: for a request's head, and for its body.
    """
    options: dict[str, Any] = {
        "http_server": {"address": "127.0.0.1", "head_deadline_s": f"{deadline_s}s"},
        "http_api": {"key": API_KEY, "body_deadline_s": f"{deadline_s}s"},
        "client": {
            "token": {"hmac_secret_key": HMAC_KEY},
            "allow_anonymous_connect_without_token": True,
            "allowed_origins": ["https://good.example"],
            "queue_max_size": QUEUE_BYTES,
            "close_deadline_s": "2s",
        },
    }
    with Cluster(directory, 1, **options) as cluster:
        yield cluster.nodes[0]


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that waits for requests as long as these tests wait for answers."""
    with a_node(tmp_path_factory.mktemp("hostile"), PATIENCE_S) as node:
        yield node


@pytest.fixture(scope="package")
def running_impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that does not wait for long."""
    with a_node(tmp_path_factory.mktemp("impatient"), IMPATIENT_S) as node:
        yield node


@pytest.fixture
async def node(running: NodeProcess) -> AsyncIterator[NodeProcess]:
    """A node of which another client notices nothing, and which keeps nothing: see `undisturbed`."""
    async with undisturbed(running):
        yield running


@pytest.fixture
async def impatient(running_impatient: NodeProcess) -> AsyncIterator[NodeProcess]:
    """As `node`, for tests of its deadlines for requests."""
    async with undisturbed(running_impatient):
        yield running_impatient
