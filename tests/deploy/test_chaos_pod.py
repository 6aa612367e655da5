"""Tests of `deploy.chaos_pod`, with a kubectl that only notes what it is asked."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from chaos.experiment import listed, path_of, settings_of
from deploy.chaos_pod import _MANIFEST as MANIFEST
from deploy.chaos_pod import _RUN as RUN
from deploy.chaos_pod import run_in_pod
from deploy.errors import UserError
from tests.patience import PATIENCE_S

KUBECTL = """#!/bin/sh
echo "$@" >> "$NOTES"
case "$*" in
    *"get deployment"*-coordinator*) printf "$SECRET" ;;
    *"get deployment"*) printf registry/app:7 ;;
    *"apply -f"*) cat > "$NOTES.manifest" ;;
    *" broadcast chaos "*) [ -z "$INTERRUPTED" ] || kill -INT $PPID; echo 'valid    lost'; exit 3 ;;
    *"import os"*" report") cat "$NOTES.tar" ;;
esac
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kubectl on the PATH notes, and beside it what it has to answer with."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    with tarfile.open(tmp_path / "notes.tar", "w") as archive:
        entry = tarfile.TarInfo("./report.html")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"ok"))
    return tmp_path / "notes"


def run(tmp_path: Path) -> int:
    settings = settings_of(listed()["rollout"].configuration, report=str(tmp_path / "report"))
    told = ["--target", "kubernetes", "--namespace", "here", "--report=x", "--seed", "7"]
    return run_in_pod(path_of("rollout"), settings, told, "here")


def test_the_run_is_in_a_pod_of_the_same_image(notes: Path, tmp_path: Path) -> None:
    """The report is brought here, the exit code is the run's, and nothing of the pod is left."""
    assert run(tmp_path) == 3
    assert (tmp_path / "report" / "report.html").read_text() == "ok"
    assert 'image: "registry/app:7"' in notes.with_suffix(".manifest").read_text()
    asked = notes.read_text().splitlines()
    assert f"experiment.yaml {path_of('rollout').read_text().splitlines()[0]}" in notes.read_text()
    (started,) = (line for line in asked if " broadcast chaos " in line)
    told = "run experiment.yaml --target kubernetes --seed 7 --report report"
    assert started.endswith(told)
    assert " delete " in asked[-1]


@pytest.mark.parametrize(
    ("secret", "mounted"), [("control-tls", "control-tls"), ("", "broadcast-chaos-none")]
)
def test_the_pod_knows_the_authority_of_a_coordinator(
    secret: str, mounted: str, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Secret's, without its key; of a Secret that is not there, nothing."""
    monkeypatch.setenv("SECRET", secret)
    run(tmp_path)
    *_, pod = yaml.safe_load_all(notes.with_suffix(".manifest").read_text())
    (volume,) = [each["secret"] for each in pod["spec"]["volumes"] if "secret" in each]
    assert volume == {
        "secretName": mounted, "optional": True, "items": [{"key": "ca.crt", "path": "ca.crt"}],
    }  # fmt: skip


def test_a_run_that_is_interrupted_may_put_things_right(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod goes first, which ends the run in order, and after it the rights that it needs for that."""
    monkeypatch.setenv("INTERRUPTED", "yes")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    *_, first, second = notes.read_text().splitlines()
    assert " delete pod broadcast-chaos " in first
    assert " delete " in second
    assert second.endswith("-f -")


# A run that needs somebody else to put things right.
HEALS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("runs", flush=True)
signal.sigwait({signal.SIGTERM})
input()
"""


@pytest.mark.parametrize("running", [True, False])
def test_a_pod_that_has_to_end_lets_its_run_end_first(running: bool, tmp_path: Path) -> None:
    """SIGTERM reaches the run, however it was started, and the pod lasts as long as it does."""
    *_, manifest = yaml.safe_load_all(MANIFEST.read_text())
    (container,) = manifest["spec"]["containers"]
    tini, dashes, python, *program = container["command"]
    assert (tini, dashes, python) == ("tini", "--", "python")
    pod = subprocess.Popen([sys.executable, *program], cwd=tmp_path, stdout=subprocess.PIPE)
    assert pod.stdout is not None
    pod.stdout.readline()  # SIGTERM is held for it from here on
    try:
        if running:
            command = [sys.executable, "-c", RUN, sys.executable, "-c", HEALS]
            with subprocess.Popen(
                command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as one:
                assert one.stdin is not None
                assert one.stdout is not None
                one.stdout.readline()
                pod.terminate()
                with pytest.raises(subprocess.TimeoutExpired):
                    pod.wait(timeout=0.5)
                one.stdin.write(b"healed\n")
        else:
            pod.terminate()
        assert pod.wait(timeout=PATIENCE_S) == 0
    finally:
        pod.kill()
        pod.communicate()


def test_without_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said in a sentence."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="kubectl is needed"):
        run(tmp_path)
