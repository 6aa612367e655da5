"""The Dockerfile, as far as it can be tried without a registry: its steps run, and make what is needed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
PINS = [ROOT / "deploy" / "docker" / name for name in ("requirements.txt", "build-requirements.txt")]

# No module lacks a dependency, whenever it would be imported.
IMPORT_ALL = """
import importlib, pkgutil
for top in ("node", "coordinator", "chaos", "deploy"):
    for module in pkgutil.walk_packages(importlib.import_module(top).__path__, top + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""


def instructions(stage: int) -> Iterator[tuple[str, str]]:
    """Instructions of a stage and their arguments, continued lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    part = re.split(r"^FROM ", text, flags=re.MULTILINE)[stage]
    for line in part.splitlines()[1:]:
        name, _, rest = line.partition(" ")
        if name:
            yield name, re.sub(r" +", " ", rest)


def copied() -> list[list[str]]:
    """The words of every COPY from the checkout: sources, and where to."""
    return [rest.split() for name, rest in instructions(1) if name == "COPY"]


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    """Nothing is copied that .dockerignore keeps away, and nothing is let through for no purpose."""
    allowed = {line[1:] for line in IGNORED if line.startswith("!")}
    sources = {source.split("/")[0] for words in copied() for source in words[:-1]}
    assert IGNORED[0] == "*"
    assert sources == allowed
    assert all((ROOT / source).exists() for words in copied() for source in words[:-1])


def test_everything_installed_has_one_version() -> None:
    """A build in a year installs what a build today does; every dependency is named."""
    names = [line for pins in PINS for line in pins.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in names), names
    assert re.search(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-[a-z]+$", DOCKERFILE, re.MULTILINE)
    for rest in (rest for name, rest in instructions(1) if name == "RUN" and " install " in rest):
        assert "--no-deps" in rest
    assert all("--no-build-isolation" in rest for _, rest in instructions(1) if " wheel " in rest)
    (packages,) = re.findall(r"apt-get install .*?recommends (.*?) &&", dict(instructions(2))["RUN"])
    assert re.fullmatch(r"'tini=[0-9.]+\*'", packages)


def test_it_runs_as_nobody_in_particular_and_hears_signals() -> None:
    """A number, in which Kubernetes sees that it is not root; and SIGTERM reaches the program."""
    last = dict(instructions(2))
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["tini", "--", "broadcast"]  # no shell in between


def test_nothing_in_it_installs_more() -> None:
    """The base's pip goes: the program has no use for it."""
    assert re.search(r"pip uninstall --yes .* pip( |$)", dict(instructions(2))["RUN"])


def test_its_python_is_the_one_that_is_tested() -> None:
    """The image runs the Python that the project says it needs, or a newer one."""
    found = re.search(r"python:(\d+)\.(\d+)", DOCKERFILE)
    assert found
    assert (int(found[1]), int(found[2])) >= (3, 11)


@pytest.mark.slow
def test_its_steps_make_an_environment_that_runs_everything(tmp_path: Path) -> None:
    """In a clean directory, the first stage makes what node, coordinator and chaos start from."""
    source, venv = tmp_path / "src", tmp_path / "venv"
    source.mkdir()
    bare = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for name, rest in instructions(1):
        if name == "COPY":
            *sources, target = rest.split()
            for each in sources:
                copy(ROOT / each, source / target / (each.rpartition("/")[2] if target.endswith("/") else ""))
        elif name == "RUN":
            run(["sh", "-ec", rest.replace("/opt", str(tmp_path))], source, bare)
    shutil.rmtree(source)
    shutil.rmtree(tmp_path / "build")
    for arguments in (["node", "--help"], ["coordinator", "--help"], ["chaos", "list"]):
        run([str(venv / "bin" / "broadcast"), *arguments], tmp_path, bare)
    run([str(venv / "bin" / "python"), "-c", IMPORT_ALL], tmp_path, bare)
    assert not (venv / "bin" / "pip").exists()


def run(command: list[str], folder: Path, environ: dict[str, str]) -> None:
    """Run a command; the test fails with what it said."""
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def copy(source: Path, target: Path) -> None:
    """What COPY does, without what .dockerignore keeps away."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copy(source, target)
        return
    without = [Path(line) for line in IGNORED if not line.startswith(("!", "*"))]

    def left_out(folder: str, names: list[str]) -> set[str]:
        place = Path(folder).relative_to(ROOT)
        return {name for name in names if place / name in without or name == "__pycache__"}

    shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)
