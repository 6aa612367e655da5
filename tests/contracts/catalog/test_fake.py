"""The catalog in memory keeps the promises too: what is tested with it holds for the real ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from tests.contracts.catalog.contract import CatalogContract
from tests.contracts.catalog.places import INTERVAL_S, LEADER_TTL_S, TTL_S, Place
from tests.fakes.catalog import CatalogStore, FakeCatalog, FakeNodeCatalog


class _Server:
    """What happens to servers, to the store."""

    def __init__(self, store: CatalogStore) -> None:
        self.kill = self.freeze = store.stop
        self.thaw = store.start
        self._store = store

    def start(self) -> None:
        trio.from_thread.run_sync(self._store.start)


class InMemory:
    """See Place."""

    def __init__(self) -> None:
        self.store = CatalogStore(leader_ttl_s=LEADER_TTL_S, ttl_s=TTL_S)
        self.server = _Server(self.store)

    @asynccontextmanager
    async def node(self, name: str) -> AsyncIterator[FakeNodeCatalog]:
        yield FakeNodeCatalog(self.store, name, INTERVAL_S)

    def view(self, name: str = "c1") -> FakeCatalog:
        return FakeCatalog(self.store)

    async def empty(self) -> None:
        await trio.lowlevel.checkpoint()
        self.store.empty()


class TestFake(CatalogContract):
    @pytest.fixture
    def clock(self) -> MockClock:
        return MockClock(autojump_threshold=0)

    @pytest.fixture
    def place(self) -> Place:
        return InMemory()  # type: ignore[return-value]
