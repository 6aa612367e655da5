"""Tests of the launcher at the root, on a small project that installs without any registry."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).parents[2] / "broadcast"

# A project whose build needs nothing but the standard library: it makes the wheel of an editable install.
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
[project.optional-dependencies]
local = []
test = []
lint = []
[project.scripts]
broadcast = "tiny:main"
"""
BACKEND = """\
import pathlib, zipfile
def get_requires_for_build_editable(config_settings=None):
    return []
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    info = "tiny-1.dist-info/"
    metadata = "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n"
    metadata += "".join(f"Provides-Extra: {extra}\\n" for extra in ("local", "test", "lint"))
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("tiny.pth", str(pathlib.Path.cwd()))
        wheel.writestr(info + "METADATA", metadata)
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "entry_points.txt", "[console_scripts]\\nbroadcast = tiny:main\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
TINY = """\
import os, signal, sys
def main():
    print(*sys.argv[1:], flush=True)
    if sys.argv[1:] == ["wait"]:
        signal.pause()
    return 7
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "tiny.py").write_text(TINY)
    shutil.copy(LAUNCHER, root / "broadcast")
    return root


def run(project: Path, *arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [str(project / "broadcast"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **more)  # type: ignore[call-overload, no-any-return]


def extras(project: Path) -> list[str]:
    return list(json.loads((project / ".venv" / ".prepared").read_text())["extras"])


def test_the_first_calls_prepare_once_and_pass_on(project: Path) -> None:
    """Two at once do not fight: one prepares, the other waits; both run their command, exit codes pass."""
    command = [str(project / "broadcast"), "say", "a b"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    results = [(process.communicate(timeout=120), process.returncode) for process in both]
    assert [(out, code) for (out, _), code in results] == [("say a b\n", 7)] * 2
    said = "".join(err for (_, err), _ in results)
    assert said.count("making .venv") == 1
    assert extras(project) == ["local"]
    again = run(project, "x")
    assert (again.stdout, again.stderr, again.returncode) == ("x\n", "", 7)


def test_it_works_from_elsewhere_and_through_a_link(project: Path, tmp_path: Path) -> None:
    """The place of the call does not matter, nor a folder there that is named like one of ours."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "link").symlink_to(project / "broadcast")
    done = subprocess.run(
        ["./link", "x"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("x\n", "", 7)


def test_signals_reach_the_command(project: Path) -> None:
    """The launcher is replaced by the command: a signal to its process id ends it with that signal."""
    with subprocess.Popen([str(project / "broadcast"), "wait"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "wait\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM


def test_it_installs_again_only_when_something_changed(project: Path) -> None:
    """`test` adds its extras once; a changed pyproject.toml installs again and keeps them."""
    assert "installing into .venv" in run(project, "test").stderr
    assert extras(project) == ["lint", "local", "test"]
    assert run(project, "test").stderr == ""
    assert run(project, "x").stderr == ""
    (project / "pyproject.toml").write_text(PYPROJECT + "\n")
    assert "installing into .venv" in run(project, "x").stderr
    assert extras(project) == ["lint", "local", "test"]


def test_a_failed_install_is_explained_and_tried_again(project: Path) -> None:
    """What the installation said is shown with what to do; nothing is taken for prepared."""
    (project / "pyproject.toml").write_text(PYPROJECT.replace('version = "1"', "version ="))
    for _ in range(2):
        failed = run(project, "x")
        assert failed.returncode == 1
        assert "preparing .venv failed" in failed.stderr
        assert "Traceback (most recent call last)\n  File" not in failed.stderr
        assert not (project / ".venv" / ".prepared").exists()
    (project / "pyproject.toml").write_text(PYPROJECT)
    assert run(project, "x").stdout == "x\n"


def test_a_moved_checkout_gets_a_new_environment(project: Path, tmp_path: Path) -> None:
    """The scripts of an environment hold absolute paths: after a move they would run the old place."""
    moved = tmp_path / "moved"
    shutil.copytree(project, moved, symlinks=True)
    done = run(moved, "x")
    assert "making .venv" in done.stderr
    assert done.stdout == "x\n"


def test_a_python_without_venv_is_told_what_to_install(project: Path, tmp_path: Path) -> None:
    """Debian's Python lacks ensurepip until a package is added; the message names it."""
    for name in ("broadcast", "pyproject.toml"):
        shutil.copy(project / name, tmp_path / name)
    hidden = (
        "import importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'ensurepip' else find(name, *more)\n"
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(hidden)
    done = run(tmp_path, "x", env={**os.environ, "PYTHONPATH": str(tmp_path / "site")})
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_an_old_python_is_told_what_is_needed(project: Path, tmp_path: Path) -> None:
    """A version that is too old, with no newer one on the PATH, ends with a sentence."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.version_info = (3, 9, 1)")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": str(tmp_path)}
    command = [sys.executable, str(project / "broadcast"), "x"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
