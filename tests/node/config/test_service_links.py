"""Variables that Kubernetes makes up for a Service called like us."""

import pytest

from node.config.errors import InvalidConfig
from node.config.load import load


def test_a_service_called_broadcast_does_not_stop_its_own_pods() -> None:
    """Every pod of the namespace is given these, unless enableServiceLinks is false."""
    load(
        None,
        {
            "BROADCAST_SERVICE_HOST": "10.0.0.1",
            "BROADCAST_SERVICE_PORT": "8000",
            "BROADCAST_SERVICE_PORT_HTTP": "8000",
            "BROADCAST_PORT": "tcp://10.0.0.1:8000",
            "BROADCAST_PORT_8000_TCP": "tcp://10.0.0.1:8000",
            "BROADCAST_PORT_8000_TCP_PROTO": "tcp",
            "BROADCAST_NODE_SERVICE_HOST": "10.0.0.2",
            "BROADCAST_NODE_PORT": "tcp://10.0.0.2:8000",
        },
    )


@pytest.mark.parametrize("name", ["BROADCAST_PORT", "BROADCAST_HTTP_PORT", "BROADCAST_SERVICE"])
def test_a_persons_mistake_is_still_one(name: str) -> None:
    """A port number is no service link."""
    with pytest.raises(InvalidConfig, match="unknown variable"):
        load(None, {name: "8000"})
