"""All checkers, in the order they are shown."""

from collections.abc import Callable

from chaos.checkers import (
    balance,
    drain,
    duplicated,
    false_recovered,
    harness,
    invented,
    isolation,
    late,
    leaks,
    lost,
    reordered,
    unplaced,
    unsignalled_gap,
)
from chaos.checkers.verdict import Bounds, Verdict
from chaos.recorded import Recorded

_MODULES = (
    lost,
    duplicated,
    reordered,
    invented,
    unplaced,
    false_recovered,
    unsignalled_gap,
    late,
    drain,
    balance,
    isolation,
    leaks,
    harness,
)
CHECKERS: dict[str, Callable[[Recorded, Bounds], Verdict]] = {
    module.NAME: module.check for module in _MODULES
}


def judge(recorded: Recorded, bounds: Bounds) -> list[Verdict]:
    """Every verdict on a history; `worst` of them is the run's."""
    return [check(recorded, bounds) for check in CHECKERS.values()]
