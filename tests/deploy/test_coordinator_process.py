"""Tests of `deploy.coordinator_process`: what it makes of a configuration."""

import pytest

from deploy.coordinator_process import plan_settings
from node.config.load import load


@pytest.mark.parametrize(
    ("quiet_s", "wait_max_s", "settle_s"), [("2s", "10s", 5.0), ("0s", "0s", 0.0), ("4s", "5s", 5.0)]
)
def test_plans_reckon_with_the_wait_of_the_nodes(quiet_s: str, wait_max_s: str, settle_s: float) -> None:
    """What a drain is said to take holds the time in which its node waits for arrivals, and no more."""
    drain = {"drain.arrivals_quiet_s": quiet_s, "drain.arrivals_wait_max_s": wait_max_s}
    assert plan_settings(load(None, {}, {"client.insecure": True, **drain})).settle_s == settle_s
