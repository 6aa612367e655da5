"""The backend of the tests: pycent's client, against one node."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from cent import Client, PublishRequest

from tests.integration.cluster import API_KEY, NodeProcess


def api_url(node: NodeProcess) -> str:
    """What pycent is given."""
    return f"http://127.0.0.1:{node.port}/api"


@contextmanager
def backend(node: NodeProcess, key: str = API_KEY) -> Iterator[Client]:
    """A client of one node's API."""
    with requests.Session() as session:
        # No proxy of the environment between a test and its cluster.
        session.trust_env = False
        yield Client(api_url(node), key, session=session)


def publish(node: NodeProcess, channel: str, *values: Any) -> None:
    """Publish values, one after the other."""
    with backend(node) as client:
        for value in values:
            client.publish(PublishRequest(channel=channel, data=value))
