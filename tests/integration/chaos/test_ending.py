"""However a chaos run ends, no process of it stays behind."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.chaos.test_quick import ROOT, processes_of
from tests.patience import PATIENCE_S


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_takes_everything_along(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM and even SIGKILL in the middle of a run: its cluster and its clients end with it."""
    report = tmp_path / "report"
    command = [sys.executable, "-m", "deploy.cli", "chaos", "run", "node-crash", "--clients", "20"]
    sizes = ["--duration", "10s", "--nodes", "2", "--grpc-nodes", "1"]
    process = subprocess.Popen(
        [*command, *sizes, "--report", str(report)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if "node-kill" in line:
                break
        began = _children(process.pid)
        assert began
        process.send_signal(number)
        process.stdout.read()
        process.wait(PATIENCE_S)
    assert process.returncode != 0
    for pid in began:
        _wait_for_end(pid)
    assert processes_of(report) == []


def _children(parent: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = process.joinpath("stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found += [int(process.name), *_children(int(process.name))]
    return found


def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], PATIENCE_S)
        assert ended, f"{pid} goes on"
    finally:
        os.close(descriptor)
