"""What the tests of this package share: a cluster without doors, and a clock that jumps."""

from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.fakes.cluster import Cluster


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep thousands of log lines that nobody reads out of the output."""
    with capture_logs():
        yield


@pytest.fixture
def clock() -> MockClock:
    """Time passes only when everybody waits."""
    return MockClock(autojump_threshold=0)


@pytest.fixture
async def cluster(nursery: trio.Nursery) -> AsyncIterator[Cluster]:
    """No node yet."""
    yield Cluster(nursery)
    nursery.cancel_scope.cancel()
