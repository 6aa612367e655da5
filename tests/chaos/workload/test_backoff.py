"""Tests of `chaos.workload.backoff`."""

import random

from chaos.workload.backoff import MAX_S, MIN_S, delay_s


def test_nobody_comes_back_at_once_or_after_an_age() -> None:
    """Every delay is between the least of all and the longest of all."""
    chance = random.Random(1)
    delays = [delay_s(attempt, chance) for attempt in range(40) for _ in range(20)]
    assert min(delays) >= MIN_S[0]
    assert max(delays) <= MAX_S


def test_delays_grow() -> None:
    """Who fails again waits longer, on average."""
    chance = random.Random(1)
    means = [sum(delay_s(attempt, chance) for _ in range(200)) / 200 for attempt in (0, 2, 4, 6)]
    assert means == sorted(means)


def test_clients_of_one_node_do_not_come_together() -> None:
    """First delays are spread over their whole range."""
    chance = random.Random(1)
    delays = sorted(delay_s(0, chance) for _ in range(1000))
    assert delays[100] < MIN_S[0] + 0.1 < MIN_S[1] - 0.1 < delays[-100]
