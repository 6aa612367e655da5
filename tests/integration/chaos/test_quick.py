"""Chaos runs short enough for every change: a node dies, NATS is restarted, with a hundred clients each."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
DEADLINE_S = 120
SETTINGS = ["--clients", "100", "--deliveries", "1000", "--duration", "8s"]


def chaos(*arguments: str, report: Path) -> dict[str, Any]:
    """Run one as an operator does; returns what `--json` prints, with the exit code."""
    command = [
        sys.executable,
        "-m",
        "deploy.cli",
        "chaos",
        "run",
        *arguments,
        "--report",
        str(report),
        "--json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.stdout, done.stderr
    outcome = json.loads(done.stdout)
    assert isinstance(outcome, dict)
    return {**outcome, "exit_code": done.returncode}


def processes_of(directory: Path) -> list[str]:
    """Command lines of the processes that know of a run's directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = process.joinpath("cmdline").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in line and int(process.name) != os.getpid():
            found.append(line.decode())
    return found


@pytest.mark.parametrize("experiment", ["node-crash", "nats-restart"])
def test_every_promise_holds(experiment: str, tmp_path: Path) -> None:
    """Nothing accepted is lost, doubled or out of order, and all catch up; nothing stays behind."""
    report = tmp_path / "report"
    outcome = chaos(experiment, *SETTINGS, report=report)
    assert outcome["state"] == "valid", json.dumps(outcome, indent=1)
    assert outcome["exit_code"] == 0
    assert outcome["failed"] == []
    assert all(verdict["state"] == "valid" for verdict in outcome["verdicts"])
    figures = {verdict["name"]: verdict["measured"] for verdict in outcome["verdicts"]}
    assert figures["lost"]["judged"] > 1000
    assert (report / "report.html").stat().st_size > 1000
    assert processes_of(report) == []


def test_a_cluster_that_does_not_serve_is_not_called_valid(tmp_path: Path) -> None:
    """The harness can say no: where clients cannot subscribe, the exit code is not 0."""
    config = tmp_path / "ready.json"
    config.write_text(json.dumps({"nats": {"url": "", "pid": None}, "coordinator": None, "nodes": []}))
    command = [sys.executable, "-m", "deploy.cli", "chaos", "run", "node-crash", "--ready-file", str(config)]
    done = subprocess.run(
        [*command, "--report", str(tmp_path / "report")],
        cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_official_chaos_toolkit_runs_the_same_file(tmp_path: Path) -> None:
    """`chaos run FILE` completes: our clients and checkers are in the hypothesis, and it holds."""
    experiment = ROOT / "chaos" / "experiments" / "node-crash.yaml"
    program = Path(sys.executable).with_name("chaos")
    sizes = ["clients:int=60", "deliveries_per_s:int=600", "duration_s:float=8"]
    command = [str(program), "--no-version-check", "run", str(experiment)]
    command += [part for size in sizes for part in ("--var", size)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    assert journal["steady_states"]["after"]["steady_state_met"]
    assert [*tmp_path.glob("chaos-report/*/report.html")]
