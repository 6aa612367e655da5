"""The systemd units: valid, confined, and with the time that a drain needs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.config.options import Config

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "systemd"
PAGE = (ROOT / "DEPLOYMENT.md").read_text()
UNITS = ["broadcast-node@.service", "broadcast-coordinator.service"]
EXPOSURE_MAX = 20  # tenths, of 100; 50 and more is called "medium"


def settings(unit: str) -> dict[str, str]:
    """The last value of every setting."""
    lines = (FOLDER / unit).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units as on a machine where the program is, the node's one with a port."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    units = []
    for name in UNITS:
        unit = tmp_path / name.replace("@.", "@8000.")
        program = settings(name)["ExecStart"].split()[0]
        text = (FOLDER / name).read_text()
        unit.write_text(text.replace(program, str(Path(sys.executable).with_name("broadcast"))))
        units.append(unit)
    return units


def test_systemd_understands_them(installed: list[Path]) -> None:
    """No setting misspelt, none out of place."""
    done = subprocess.run(
        ["systemd-analyze", "verify", *installed], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_they_are_confined(installed: list[Path]) -> None:
    """What systemd itself counts as exposure stays low."""
    for unit in installed:
        command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit]
        done = subprocess.run([*command, "--no-pager"], capture_output=True, text=True, check=False)
        if "unrecognized option" in done.stderr:
            pytest.skip("this systemd-analyze is too old to look at a file")
        assert done.returncode == 0, done.stdout[-300:]


def test_stopping_leaves_time_to_drain() -> None:
    """SIGTERM, and SIGKILL only after the node's own deadline."""
    node = settings(UNITS[0])
    assert node["KillSignal"] == "SIGTERM"
    assert int(node["TimeoutStopSec"].removesuffix("s")) >= Config().shutdown.timeout + 5


@pytest.mark.parametrize("unit", UNITS)
def test_the_commands_are_the_program_s(unit: str) -> None:
    """The command line is one that the program takes."""
    program, *arguments = settings(unit)["ExecStart"].split()
    assert Path(program).name == "broadcast"
    command = [Path(sys.executable).with_name("broadcast"), arguments[0], "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(word in told for word in arguments if word.startswith("--"))


def test_every_installation_has_the_versions_that_are_tested() -> None:
    """The first one and an upgrade: a new version may need a newer library."""
    installed = re.findall(r"^\S+/pip install (.*)$", PAGE, re.MULTILINE)
    assert installed == ["--no-deps -r deploy/docker/requirements.txt ."] * 2


@pytest.mark.parametrize(("answers", "restarted"), [("true", ["8000", "8001"]), ("false", ["8000"])])
def test_an_upgrade_takes_no_node_before_the_last_one_serves(
    answers: str, restarted: list[str], tmp_path: Path
) -> None:
    """A version that does not come up costs one node."""
    (loop,) = re.findall(r"^for port in .*?^done$", PAGE, re.MULTILINE | re.DOTALL)
    programs = {
        "systemctl": f"echo $2 >> {tmp_path}/notes",
        "curl": f"echo $* >> {tmp_path}/asked; {answers}",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    subprocess.run(["sh", "-c", loop], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True)
    assert (tmp_path / "notes").read_text().split() == [f"broadcast-node@{port}" for port in restarted]
    asked = (tmp_path / "asked").read_text()
    assert all(f"http://127.0.0.1:{port}/readyz" in asked for port in restarted)
