"""Which experiments a target can run: said before anything is started. Pure."""

from collections.abc import Iterator
from typing import Any

from chaos.experiment import Activity, Experiment

# What is not in these can be done everywhere.
_ONLY_LOCAL = {
    "node-hang": "a pod cannot be stopped where it stands",
    "disk-full": "the disks of pods are not ours to fill",
    "clock-jump": "the clock of a machine is not ours to set",
    "consul-kill": "Consul is no part of an installation",
    "add_coordinator": "coordinators of an installation are its own",
    "mixed": "it draws on faults of links, disks and clocks",
}
_ONLY_KUBERNETES = frozenset({"roll-out", "scale"})


def unfit(experiment: Experiment, target: str) -> str:
    """Why an experiment cannot run on a target, "" if it can.

    Args:
        experiment: which.
        target: `local` or `kubernetes`.
    """
    used = set(_used(experiment))
    if target == "local":
        return "local processes have no controller that replaces them" if used & _ONLY_KUBERNETES else ""
    if experiment.configuration.get("links"):
        return "pods speak to each other directly, with no proxy between them that could break a link"
    reasons = [reason for name, reason in _ONLY_LOCAL.items() if name in used]
    return "; ".join(reasons)


def targets(experiment: Experiment) -> tuple[str, ...]:
    """The targets that an experiment can run on."""
    return tuple(target for target in ("local", "kubernetes") if not unfit(experiment, target))


def _used(experiment: Experiment) -> Iterator[str]:
    for activity in experiment.method:
        yield activity.provider.func
        if not _arguments(activity).get("optional"):
            yield str(_arguments(activity).get("fault", ""))


def _arguments(activity: Activity) -> dict[str, Any]:
    return activity.provider.arguments
