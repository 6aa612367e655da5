"""A mixed run: what the generator's schedule says, done when it says so."""

from collections.abc import Mapping

import msgspec
import trio

from chaos import generator
from chaos.generator import FaultKind, FaultPlan
from chaos.rig import Rig, workload_of
from chaos.settings import Settings

Kinds = Mapping[str, Mapping[str, object]]


def schedule(settings: Settings, kinds: Kinds, quiet: float) -> list[FaultPlan]:
    """What happens when; the same for the same settings.

    Args:
        settings: the seed, and for how long.
        kinds: by the fault's name, the fields of FaultKind that differ from its defaults.
        quiet: see generator.faults.

    Raises:
        ValueError: a field that there is not, or a value that means nothing.
    """
    listed = []
    for name, fields in kinds.items():
        if unknown := fields.keys() - set(FaultKind.__struct_fields__):
            raise ValueError(f"{name} has {', '.join(sorted(unknown))}, which means nothing here")
        listed.append(msgspec.convert({"name": name, **fields}, FaultKind))
    workload = msgspec.structs.replace(workload_of(settings, ()), duration_s=settings.duration_s)
    return generator.faults(workload, listed, quiet=quiet)


async def run_schedule(rig: Rig, plans: list[FaultPlan]) -> None:
    """Inject and heal at the times of the schedule, or as soon after as what came before allows."""
    began = trio.current_time()
    for plan in plans:
        await trio.sleep_until(began + plan.inject_s)
        name = await rig.inject(plan.name, plan.target, optional=True)
        await trio.sleep_until(began + plan.heal_s)
        await rig.heal(name)
    await trio.sleep_until(began + rig.settings.duration_s)
