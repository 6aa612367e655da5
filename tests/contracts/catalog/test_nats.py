"""The catalog's promises on NATS."""

from collections.abc import Iterator

import pytest

from tests.contracts.catalog.contract import CatalogContract
from tests.contracts.catalog.places import OnNats, Place
from tests.nats_server import NatsServer


class TestNats(CatalogContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with NatsServer() as server:
            yield OnNats(server)
