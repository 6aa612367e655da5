"""What holds for all tests of nodes that serve gRPC."""

from collections.abc import Iterator

import pytest

from tests import plain_asyncio


@pytest.fixture(autouse=True)
def asyncio_as_it_is() -> Iterator[None]:
    """Other tests of this process may have imported trio-asyncio, which such a node never does."""
    with plain_asyncio.restored():
        yield
