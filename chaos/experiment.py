"""Experiments in the Open Chaos format, as far as ours use it: read, and turned into settings and steps.

The same files run with `chaos run FILE` of Chaos Toolkit. Of the format this reads configuration, the
steady-state hypothesis, method, rollbacks, python providers, pauses, background. Everything else is
refused, since leaving a part of an experiment out would make its verdict worth nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from chaos.settings import Settings
from chaos.workload.transports import TRANSPORTS

FOLDER = Path(__file__).with_name("experiments")
_CONTROL = "chaos.control"


class ExperimentError(Exception):
    """A file is no experiment that can be run here; the message says what is wrong."""


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an activity calls."""

    type: Literal["python"]
    module: str
    func: str = ""
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)


class Pauses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds before and after an activity."""

    before: float = 0.0
    after: float = 0.0


class Activity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A probe or an action."""

    type: Literal["probe", "action"]
    name: str
    provider: Provider
    tolerance: Any = None
    background: bool = False
    pauses: Pauses = Pauses()


class Hypothesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has to be true before and after."""

    title: str
    probes: tuple[Activity, ...]


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who opens and closes the run under Chaos Toolkit."""

    name: str
    provider: Provider


class Experiment(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """One file."""

    title: str
    description: str
    steady_state_hypothesis: Hypothesis
    method: tuple[Activity, ...]
    rollbacks: tuple[Activity, ...] = ()
    tags: tuple[str, ...] = ()
    configuration: dict[str, Any] = msgspec.field(default_factory=dict)
    controls: tuple[Control, ...] = ()


def listed() -> dict[str, Experiment]:
    """The experiments that come with the harness, by name."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def path_of(name: str) -> Path:
    """The file of an experiment.

    Args:
        name: of one that comes with the harness, or a path.

    Raises:
        ExperimentError: there is no such file.
    """
    for path in (Path(name), FOLDER / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    raise ExperimentError(f"there is no experiment {name}; there are {known}, or give a file")


def read(path: Path) -> Experiment:
    """The experiment in a file.

    Raises:
        ExperimentError: it is none that can be run here.
    """
    try:
        experiment = msgspec.convert(yaml.safe_load(path.read_text()), Experiment)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ExperimentError(f"{path.name}: {error}") from error
    others = [control.provider.module for control in experiment.controls]
    if others not in ([], [_CONTROL]):
        raise ExperimentError(f"{path.name}: the only control that is known here is {_CONTROL}")
    return experiment


def settings_of(configuration: Mapping[str, Any], **overrides: Any) -> Settings:
    """The settings of a configuration, numbers in text included, as environments and options give them.

    Args:
        configuration: an experiment's.
        **overrides: what takes precedence; None stands for "not given".

    Raises:
        ExperimentError: a name or value that means nothing.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    merged = {"name": "unnamed", **configuration, **given}
    unknown = sorted(merged.keys() - set(Settings.__struct_fields__))
    if unknown:
        raise ExperimentError(f"the configuration has {', '.join(unknown)}, which means nothing here")
    try:
        settings = msgspec.convert(merged, Settings, strict=False)
        strange = sorted(set(settings.transports) - set(TRANSPORTS))
        if strange:
            raise ExperimentError(
                f"there is no transport {', '.join(strange)}; there are {', '.join(TRANSPORTS)}"
            )
        return settings
    except msgspec.ValidationError as error:
        raise ExperimentError(f"the configuration cannot be used: {error}") from error


def tolerates(tolerance: Any, value: Any) -> bool:
    """Whether a probe's value is within its tolerance: a value, a range of two numbers, or one of several."""
    if isinstance(tolerance, list):
        if len(tolerance) == 2:
            return bool(tolerance[0] <= value <= tolerance[1])
        return value in tolerance
    return bool(tolerance == value and isinstance(tolerance, bool) == isinstance(value, bool))
