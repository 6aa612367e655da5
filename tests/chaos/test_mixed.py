"""Tests of `chaos.mixed`: the schedule that an experiment's seed gives, and how it is kept."""

from collections.abc import Mapping
from math import ceil, floor
from types import MappingProxyType

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from chaos.checkers.verdict import Bounds
from chaos.experiment import ExperimentError, path_of, read, settings_of
from chaos.generator import FaultPlan
from chaos.mixed import check, run_schedule, schedule
from chaos.rig import Rig
from chaos.settings import Settings

MIXED = read(path_of("mixed"))
ARGUMENTS = MIXED.method[0].provider.arguments
CONFIGURATION = MIXED.configuration
BOUNDS = msgspec.convert(CONFIGURATION["bounds"], Bounds)
# Others must not notice these, and this is seen at the latter.
SLOW = {"slow-clients", "never-read", "connection-flood", "malformed-flood", "coordinator-kill"}
SHOWN = SLOW - {"coordinator-kill"}


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


@given(st.integers())
def test_every_seed_gives_every_verdict_something_to_judge(seed: int) -> None:
    """In the default time a node is drained, and slow clients have whole seconds to themselves."""
    found = schedule(settings_of(CONFIGURATION, seed=seed), **ARGUMENTS)
    assert {"isolation", "drain"} <= BOUNDS.requires
    assert "node-drain" in {plan.name for plan in found[:2]}
    assert SHOWN & {plan.name for plan in found[:2]}
    settled_s = 0.0
    for plan in found:
        if plan.name in SLOW:
            # A second that is disturbed for a moment does not count.
            assert floor(plan.heal_s) - max(ceil(plan.inject_s), floor(settled_s) + 1) >= 1
        else:
            settled_s = plan.heal_s + BOUNDS.settle_s


def test_a_time_that_is_too_short_is_refused_before_anything_starts() -> None:
    """The run would end without something to judge, and that is known before."""
    for seed in range(100):
        check(MIXED, settings_of(CONFIGURATION, seed=seed, duration_s=30.0))
    with pytest.raises(ExperimentError, match=r"10 s are too short for a fault that shows"):
        check(MIXED, settings_of(CONFIGURATION, duration_s=10.0))


class SlowRig(Rig):
    """Notes when faults come and go; each takes its time to be brought about, and to be healed."""

    def __init__(
        self, settings: Settings, healing_s: float, injecting_s: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        self.settings = settings
        self.healing_s = healing_s
        self.injecting_s = injecting_s
        self.noted: list[float] = []
        self.injected_at = self.began = trio.current_time()

    async def inject(self, name: str, target: str = "", *, optional: bool = False) -> str:
        self.injected_at = trio.current_time()
        await trio.sleep(self.injecting_s.get(name, 0.0))
        return name

    async def heal(self, name: str = "") -> None:
        self.noted += [self.injected_at - self.began, trio.current_time() - self.began]
        await trio.sleep(self.healing_s)


async def test_what_is_in_time_is_done_at_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """The schedule of a seed is what happens."""
    plans = [FaultPlan(3.0, 4.0, "a", "", 3.0), FaultPlan(8.0, 10.0, "b", "", 3.0)]
    rig = SlowRig(settings_of(CONFIGURATION), healing_s=0.5)
    await run_schedule(rig, plans)
    assert rig.noted == pytest.approx([3.0, 4.0, 8.0, 10.0])
    assert trio.current_time() - rig.began == pytest.approx(120.0)


async def test_what_is_late_stays_apart_and_in_force(autojump_clock: trio.testing.MockClock) -> None:
    """A node that is slow to start again takes nothing of what comes behind it."""
    plans = [FaultPlan(3.0, 4.0, "a", "", 3.0), FaultPlan(10.0, 12.0, "b", "", 6.0)]
    rig = SlowRig(settings_of(CONFIGURATION), healing_s=20.0)
    await run_schedule(rig, plans)
    assert rig.noted == pytest.approx([3.0, 4.0, 30.0, 32.0])


async def test_a_fault_holds_from_when_it_is_there(autojump_clock: trio.testing.MockClock) -> None:
    """A drain is there when the node is empty: only then can it be seen whether the node lets somebody in."""
    plans = [FaultPlan(3.0, 5.0, "node-drain", "", 3.0), FaultPlan(8.0, 10.0, "b", "", 3.0)]
    rig = SlowRig(settings_of(CONFIGURATION), healing_s=1.0, injecting_s={"node-drain": 4.0})
    await run_schedule(rig, plans)
    assert rig.noted == pytest.approx([3.0, 9.0, 13.0, 15.0])
    assert trio.current_time() - rig.began == pytest.approx(120.0)


async def test_a_run_whose_faults_take_their_time_lasts_hardly_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What is late eats up the quiet times behind it: most end in time, and none an eighth late."""
    over = []
    for seed in range(200):
        rig = SlowRig(settings_of(CONFIGURATION, seed=seed), 1.0, {"node-drain": 4.5, "node-term": 4.5})
        await run_schedule(rig, schedule(rig.settings, **ARGUMENTS))
        over.append(trio.current_time() - rig.began - 120.0)
    assert sorted(over)[150] == pytest.approx(0.0, abs=0.001)
    assert max(over) < 15.0


def test_a_field_that_there_is_not_is_refused() -> None:
    """A mistyped weight would silently be the default."""
    with pytest.raises(ValueError, match="wieght"):
        schedule(settings_of(CONFIGURATION), {"node-kill": {"wieght": 2}}, 0.25)
