"""What tests of coordinators have in common: where these and the nodes meet."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.consul_server import ConsulServer


@pytest.fixture(params=["nats", "consul"])
def catalog(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Where nodes and coordinators meet, as arguments of a coordinator."""
    if request.param == "nats":
        yield []
    else:
        with ConsulServer() as consul:
            yield ["--consul", consul.url]


@pytest.fixture
def catalog_options(catalog: list[str]) -> dict[str, Any]:
    """The same as the section `catalog` of a node."""
    return {"type": "consul", "consul": {"url": catalog[1]}} if catalog else {"type": "nats"}
