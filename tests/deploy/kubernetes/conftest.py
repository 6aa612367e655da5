"""The installation that all tests of this folder share."""

import secrets
from collections.abc import Iterator

import pytest

from tests.deploy.kubernetes.cluster import Installation, missing


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Installed with the default values; its namespace is removed afterwards."""
    if why := missing():
        pytest.skip(why)
    made = Installation(f"broadcast-test-{secrets.token_hex(3)}", tmp_path_factory.mktemp("runs"))
    try:
        made.create()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def judged(installation: Installation) -> Installation:
    """The same, upgraded to a config with which the harness can judge it."""
    installation.upgrade()
    return installation
