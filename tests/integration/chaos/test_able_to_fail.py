"""The harness can say no: nodes that are broken on purpose do not get past it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from chaos.experiment import path_of
from chaos.targets.local import CONFIG
from tests.integration.chaos.broken_cluster import NODES
from tests.integration.chaos.test_quick import DEADLINE_S, ROOT, chaos, processes_of

SIZES = ["--clients", "100", "--deliveries", "1000", "--duration", "8s", "--nodes", str(NODES)]
# What a broken node has lost never comes: here nobody waits for it as long as where it may.
PATIENCE_S = 5.0
# So few that a drain which takes no care of it shows with a hundred clients.
CONNECTIONS_PER_S = 8
# What can follow from any defect: who misses something is waited for, or is told that it has all.
CONSEQUENCES = {"lost", "late", "false_recovered"}
# And from these, on a machine that is slow at the wrong moment: only who recovered after the publisher heard
# is known to have been told wrongly; who subscribes while a publication waits has it when it goes out.
MORE = {"claim_recovered": {"unsignalled_gap"}, "swap": {"duplicated"}}


@contextmanager
def broken_cluster(defect: str, directory: Path) -> Iterator[Path]:
    """A running cluster of nodes with this defect; gives its ready file."""
    config, ready_file = directory / "config.yaml", directory / "ready.json"
    options = yaml.safe_load(CONFIG.read_text())
    # Nobody balances clients over these nodes.
    options["drain"] = {"arrivals_quiet_s": 0.5}
    options["client"]["connection_rate_limit"] = CONNECTIONS_PER_S if defect == "ignore_the_pace" else 0
    config.write_text(yaml.safe_dump(options))
    command = [sys.executable, "-P", "-m", "tests.integration.chaos.broken_cluster", defect]
    log_file = directory / "cluster.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*command, str(config), str(ready_file)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            # A cluster that fails ends, and this with it.
            assert process.stdout.readline(), log_file.read_text()
            yield ready_file
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def impatient(experiment: str, directory: Path) -> str:
    """The file of the same experiment with less patience at its end."""
    told = yaml.safe_load(path_of(experiment).read_text())
    told["configuration"]["patience_s"] = PATIENCE_S
    file = directory / f"{experiment}.yaml"
    file.write_text(yaml.safe_dump(told))
    return str(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "experiment", "verdicts"),
    [
        ("lose_without_repair", "node-crash", {"lost", "unsignalled_gap"}),
        ("claim_recovered", "node-crash", {"lost", "false_recovered"}),
        ("deliver_twice", "node-crash", {"duplicated"}),
        ("swap", "node-crash", {"reordered"}),
        ("ignore_the_pace", "rolling-drain", {"drain"}),
    ],
)
def test_a_broken_node_is_found_out(defect: str, experiment: str, verdicts: set[str], tmp_path: Path) -> None:
    """What a node does wrong makes the run invalid, by the checker whose business it is, with evidence."""
    report = tmp_path / "report"
    with broken_cluster(defect, tmp_path) as ready_file:
        told = impatient(experiment, tmp_path)
        outcome = chaos(told, *SIZES, "--ready-file", str(ready_file), report=report)
    said = json.dumps(outcome, indent=1)
    assert (outcome["state"], outcome["exit_code"]) == ("invalid", 1), said
    invalid = {verdict["name"] for verdict in outcome["verdicts"] if verdict["state"] == "invalid"}
    assert verdicts <= invalid, said
    # It does not only say no: what is in order is not called wrong.
    assert invalid - verdicts <= CONSEQUENCES | MORE.get(defect, set()), said
    evidence = {
        verdict["name"]: verdict["evidence"]
        for verdict in json.loads((report / "report.json").read_text())["verdicts"]
    }
    assert all(evidence[name] for name in verdicts)
    assert processes_of(tmp_path) == []
