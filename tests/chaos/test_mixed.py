"""Tests of `chaos.mixed`: the schedule that an experiment's seed gives."""

import pytest

from chaos.experiment import path_of, read, settings_of
from chaos.mixed import schedule

ARGUMENTS = read(path_of("mixed")).method[0].provider.arguments
CONFIGURATION = read(path_of("mixed")).configuration


def plans(seed: int, duration_s: float = 300.0) -> list[tuple[str, str, float]]:
    settings = settings_of(CONFIGURATION, seed=seed, duration_s=duration_s)
    found = schedule(settings, ARGUMENTS["kinds"], 0.25)
    return [(plan.name, plan.target, plan.inject_s) for plan in found]


def test_the_same_seed_gives_the_same_schedule() -> None:
    """A run that failed can be run again."""
    assert plans(7) == plans(7)


def test_another_seed_gives_another_schedule() -> None:
    """Seeds look at different things."""
    assert plans(7) != plans(8)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    """What went wrong in ten minutes can be looked for in the first two."""
    short = plans(7, 120.0)
    assert plans(7, 600.0)[: len(short)] == short


def test_many_seeds_use_every_fault() -> None:
    """Nothing in the list is never chosen."""
    used = {name for seed in range(20) for name, _, _ in plans(seed)}
    assert used == set(ARGUMENTS["kinds"])


def test_a_field_that_there_is_not_is_refused() -> None:
    """A mistyped weight would silently be the default."""
    with pytest.raises(ValueError, match="wieght"):
        schedule(settings_of(CONFIGURATION), {"node-kill": {"wieght": 2}}, 0.25)
