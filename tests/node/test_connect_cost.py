"""What a connect costs, found again in totals that have other causes too."""

import random

import pytest

from node.connect_cost import ConnectCost

COST_S, PER_MEGABYTE_S, IDLE = 0.0004, 0.05, 0.01


def measured(connects: list[float], megabytes: list[float], noise: float = 0.0) -> ConnectCost:
    chance = random.Random(7)
    cost = ConnectCost()
    for connects_per_s, megabytes_per_s in zip(connects, megabytes, strict=True):
        cpu = IDLE + COST_S * connects_per_s + PER_MEGABYTE_S * megabytes_per_s
        cost.add(connects_per_s, megabytes_per_s * 1e6, cpu + chance.uniform(-noise, noise))
    return cost


def test_a_wave_of_clients_shows_what_one_costs() -> None:
    """None, then 400 per second: their share is found, with some noise around it."""
    cost = measured([0.0] * 10 + [400.0] * 10, [0.0] * 20, noise=0.005)
    assert cost.seconds == pytest.approx(COST_S, rel=0.1)


def test_a_growing_fan_out_is_not_put_on_the_connects() -> None:
    """Those who came are written to: bytes grow with them, and cost by themselves."""
    connects = [0.0] * 5 + [200.0, 300.0, 100.0, 200.0] * 4
    here, megabytes = 0.0, []
    for count in connects:
        here += count
        megabytes.append(here / 500)
    assert measured(connects, megabytes, noise=0.005).seconds == pytest.approx(COST_S, rel=0.2)


def test_nothing_is_said_without_a_reason() -> None:
    """A steady stream of clients, or none, does not show what one costs."""
    assert measured([0.0] * 20, [1.0] * 20).seconds == 0.0
    assert measured([100.0] * 20, [1.0, 2.0] * 10, noise=0.01).seconds == 0.0


def test_what_was_learnt_stays_until_something_new_is() -> None:
    """Quiet minutes do not make the node forget."""
    assert measured([0.0, 400.0] * 5 + [0.0] * 300, [0.0] * 310).seconds == pytest.approx(COST_S, rel=0.01)
