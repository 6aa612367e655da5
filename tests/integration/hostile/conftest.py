"""A node for bad input, and what must hold around every test here.

The fixture `node` sees that another client's stream never stalls meanwhile, and that the node holds nothing
of what came afterwards.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.integration.cluster import API_KEY, HMAC_KEY, Cluster, NodeProcess
from tests.integration.hostile.undisturbed import undisturbed

HEAD_DEADLINE_S = 0.3
QUEUE_BYTES = 65_536


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with short deadlines and small buffers, which only pages of one origin may use."""
    options: dict[str, Any] = {
        "http_server": {"address": "127.0.0.1", "head_deadline_s": f"{HEAD_DEADLINE_S}s"},
        "http_api": {"key": API_KEY, "body_deadline_s": f"{HEAD_DEADLINE_S}s"},
        "client": {
            "token": {"hmac_secret_key": HMAC_KEY},
            "allow_anonymous_connect_without_token": True,
            "allowed_origins": ["https://good.example"],
            "queue_max_size": QUEUE_BYTES,
            "close_deadline_s": "0.5s",
        },
    }
    with Cluster(tmp_path_factory.mktemp("hostile"), 1, **options) as cluster:
        yield cluster.nodes[0]


@pytest.fixture
async def node(running: NodeProcess) -> AsyncIterator[NodeProcess]:
    """A node of which another client notices nothing, and which keeps nothing: see `undisturbed`."""
    async with undisturbed(running):
        yield running
