"""How long a drain takes, reckoned beforehand."""

import math

import pytest

from coordinator.drain_forecast import SLACK, forecast
from coordinator.settings import PlanSettings
from tests.coordinator.reports import report

SETTINGS = PlanSettings(connect_share=0.5, settle_s=4, lag_s=2)


def test_one_node_leaves() -> None:
    """Waiting, one way of clients through the pace of the receivers, the last one's arrival."""
    nodes = [report("a", 1000), report("b"), report("c")]
    found = forecast([nodes[:1]], nodes, 0, False, {}, SETTINGS)
    assert found.seconds == pytest.approx(4 + 2 + SLACK * 1000 / (2 * 50))
    assert (found.clients, found.receivers, found.room) == (1000, 2, 18_000)


def test_clients_of_other_drains_come_first() -> None:
    """They go to the same receivers."""
    nodes = [report("a", 1000), report("b")]
    alone = forecast([nodes[:1]], nodes, 0, False, {}, SETTINGS)
    beside = forecast([nodes[:1]], nodes, 500, False, {}, SETTINGS)
    assert beside.seconds - alone.seconds == pytest.approx(SLACK * 10)


def test_the_slowest_group_is_told() -> None:
    """In a rolling drain the later ones have the clients of the earlier ones."""
    nodes = [report("a", 1000), report("b", 1000)]
    found = forecast([nodes[:1], nodes[1:]], nodes, 0, True, {}, SETTINGS)
    assert found.clients == 2000
    assert found.seconds == pytest.approx(4 + 2 + SLACK * 2000 / 50)


def test_nobody_left_is_told_whichever_group_it_is() -> None:
    """Groups that do not come back leave nobody for the last."""
    nodes = [report("a"), report("b")]
    assert forecast([nodes], nodes, 0, False, {}, SETTINGS).receivers == 0
    full = [report("a", 10_000), report("b", 10_000)]
    assert forecast([full[:1]], full, 0, False, {}, SETTINGS).seconds == math.inf
