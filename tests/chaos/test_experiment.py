"""Tests of `chaos.experiment` and of the experiments that come with the harness."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib.experiment import ensure_experiment_is_valid

from chaos.checkers.verdict import Bounds
from chaos.experiment import FOLDER, ExperimentError, listed, path_of, read, settings_of, tolerates
from chaos.faults.catalogue import FAULTS

NAMES = [path.stem for path in sorted(FOLDER.glob("*.yaml"))]
WANTED = {
    "node-crash", "node-hang", "rolling-drain", "rebalance-after-scale-out", "nats-restart",
    "nats-minority-loss", "nats-partition", "coordinator-failover", "slow-clients", "reconnect-storm",
    "mixed",
}  # fmt: skip


def test_every_scenario_is_there() -> None:
    """Each way to break a cluster that the project promises to survive has its file."""
    assert set(listed()) >= WANTED


@pytest.mark.parametrize("name", NAMES)
def test_chaos_toolkit_takes_the_file(name: str) -> None:
    """The official tool finds nothing wrong with it."""
    ensure_experiment_is_valid(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_our_runner_takes_the_file(name: str) -> None:
    """Its settings mean something, its bounds are bounds, its activities can be called as it says."""
    experiment = read(path_of(name))
    settings = settings_of(experiment.configuration)
    assert settings.name == name
    Bounds(**settings.bounds)
    activities = [*experiment.steady_state_hypothesis.probes, *experiment.method, *experiment.rollbacks]
    for activity in activities:
        function = getattr(importlib.import_module(activity.provider.module), activity.provider.func)
        inspect.signature(function).bind(**activity.provider.arguments)
        fault = activity.provider.arguments.get("fault")
        assert fault in FAULTS or fault is None
    assert [control.provider.module for control in experiment.controls] == ["chaos.control"]


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_heals_what_it_broke(name: str) -> None:
    """Whatever becomes of the method, the rollbacks leave a cluster that works."""
    [rollback] = read(path_of(name)).rollbacks
    assert rollback.provider.func == "heal_everything"


def test_mixed_names_faults_that_there_are() -> None:
    """The kinds it may choose from are those of the catalogue."""
    [action] = read(path_of("mixed")).method
    assert set(action.provider.arguments["kinds"]) <= set(FAULTS)


def test_options_take_precedence_over_the_file() -> None:
    """What is asked for on the command line counts; numbers may come as text, as environments give them."""
    settings = settings_of({"name": "x", "nodes": "4", "clients": 7}, clients=9, seed=None)
    assert (settings.nodes, settings.clients, settings.seed) == (4, 9, 1)


@pytest.mark.parametrize("configuration", [{"node": 3}, {"nodes": "many"}])
def test_a_configuration_that_means_nothing_is_refused(configuration: dict[str, Any]) -> None:
    """A run with other settings than those that were asked for would prove something else."""
    with pytest.raises(ExperimentError, match="node"):
        settings_of(configuration)


@pytest.mark.parametrize("name", ["nodes", "nats_servers", "clients", "deliveries_per_s", "duration_s"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_run_without_anybody_or_anything_is_refused(name: str, value: int) -> None:
    """Before a cluster is started and a minute is waited, to find that there was nothing to judge."""
    with pytest.raises(ExperimentError, match=name):
        settings_of({}, **{name: value})
    assert settings_of({}, **{name: 1})


def test_numbers_that_are_none_are_refused() -> None:
    """No pace is computed from them."""
    for value in (float("nan"), float("inf")):
        with pytest.raises(ExperimentError, match="deliveries_per_s"):
            settings_of({}, deliveries_per_s=value)


def test_an_unknown_transport_is_refused() -> None:
    """Clients that do not exist see nothing go wrong."""
    with pytest.raises(ExperimentError, match="no transport pigeon; there are websocket-json"):
        settings_of({"transports": ["ws", "pigeon"]})


def test_what_this_runner_does_not_know_is_refused(tmp_path: Path) -> None:
    """Leaving out a part of an experiment would make its verdict worth nothing."""
    file = tmp_path / "x.yaml"
    text = (FOLDER / "node-crash.yaml").read_text()
    for changed in (
        text.replace("type: python", "type: process"),
        text.replace("module: chaos.control", "module: other"),
        text + "\nruntime: {}\n",
        "nonsense: [",
    ):
        file.write_text(changed)
        with pytest.raises(ExperimentError):
            read(file)


def test_an_unknown_name_lists_what_there_is() -> None:
    """A typing error is answered with the names that would have worked."""
    with pytest.raises(ExperimentError, match="node-crash"):
        path_of("node-crush")


@pytest.mark.parametrize(
    ("tolerance", "value", "tolerated"),
    [
        (True, True, True), (True, 1, False), ("valid", "valid", True), ("valid", "unknown", False),
        ([1, 3], 2, True), ([1, 3], 4, False), (["a", "b", "c"], "c", True), (["a", "b", "c"], "d", False),
    ],
)  # fmt: skip
def test_tolerances_are_chaos_toolkits(tolerance: Any, value: Any, tolerated: bool) -> None:
    """A value, a range of two, or one of several."""
    assert tolerates(tolerance, value) is tolerated
