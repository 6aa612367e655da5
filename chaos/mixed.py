"""A mixed run: what the generator's schedule says, done when it says so."""

import math
from collections.abc import Mapping

import msgspec
import trio

from chaos import generator
from chaos.experiment import Experiment, ExperimentError
from chaos.generator import FaultKind, FaultPlan
from chaos.rig import Rig, workload_of
from chaos.settings import Settings

Kinds = Mapping[str, Mapping[str, object]]


def schedule(settings: Settings, kinds: Kinds, quiet: float = 0.25) -> list[FaultPlan]:
    """What happens when; the same for the same settings.

    Args:
        settings: the seed, and for how long.
        kinds: by the fault's name, the fields of FaultKind that differ from its defaults.
        quiet: see generator.faults.

    Raises:
        ValueError: a field that there is not, a value that means nothing, or too short a time.
    """
    listed = []
    for name, fields in kinds.items():
        if unknown := fields.keys() - set(FaultKind.__struct_fields__):
            raise ValueError(f"{name} has {', '.join(sorted(unknown))}, which means nothing here")
        listed.append(msgspec.convert({"name": name, **fields}, FaultKind))
    workload = msgspec.structs.replace(workload_of(settings, ()), duration_s=settings.duration_s)
    return generator.faults(workload, listed, quiet=quiet)


def check(experiment: Experiment, settings: Settings) -> None:
    """Make the schedules of an experiment, so that what is wrong with them is said before anything starts.

    Raises:
        ExperimentError: one cannot be made.
    """
    for activity in experiment.method:
        if activity.provider.func == "mixed":
            try:
                schedule(settings, **activity.provider.arguments)
            except (TypeError, ValueError) as error:
                raise ExperimentError(f"{activity.name}: {error}") from error


async def run_schedule(rig: Rig, plans: list[FaultPlan]) -> None:
    """Inject and heal at the times of the schedule, or later if what came before took its time.

    However late it is, every fault stays in force for as long as the schedule says, from when it is there,
    and begins as long after the one before as it has to: what follows from which can still be told. A drain
    is there when the node is empty: only then is it seen whether the node lets somebody in. What is late eats
    up the quiet times that follow, and nothing is left out: a run may end some seconds after its time.
    """
    began = trio.current_time()
    healed_at = -math.inf
    for plan in plans:
        await trio.sleep_until(max(began + plan.inject_s, healed_at + plan.after_s))
        name = await rig.inject(plan.name, plan.target, optional=True)
        await trio.sleep(plan.heal_s - plan.inject_s)
        await rig.heal(name)
        healed_at = trio.current_time()
    await trio.sleep_until(began + rig.settings.duration_s)
