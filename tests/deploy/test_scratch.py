"""Tests of the directory of a cluster that keeps nothing."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.scratch import remove_abandoned, scratch_directory

# A cluster's owner: it makes a directory and waits to be killed.
OWNER = """
import sys
from deploy.scratch import scratch_directory
with scratch_directory() as scratch:
    (scratch.path / "jetstream").mkdir()
    print(scratch.path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for temporary files where nobody else works."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextlib.contextmanager
def owner() -> Iterator[Path]:
    """The directory of another process, which is killed at the end and can remove nothing."""
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip())
        process.kill()


def test_a_directory_lasts_as_long_as_its_context(temporary: Path) -> None:
    """What a cluster wrote is gone when it has stopped."""
    with scratch_directory() as scratch:
        assert scratch.path.parent == temporary
        (scratch.path / "jetstream").mkdir()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_owner_left_is_removed_by_the_next(temporary: Path) -> None:
    """Clusters that are killed do not fill the disk; one that lives keeps what it has."""
    with owner() as left:
        remove_abandoned()
        assert (left / "jetstream").is_dir()
    assert (left / "jetstream").is_dir()
    with scratch_directory() as scratch:
        assert list(temporary.iterdir()) == [scratch.path]


def test_a_server_that_outlives_its_owner_keeps_its_directory(temporary: Path) -> None:
    """A child that inherited the lock holds the directory as well as the owner did."""
    path = temporary / "broadcast-up-x"
    path.mkdir()
    held = "import fcntl, sys; fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX); print(); sys.stdin.read()"
    with (path / "lock").open("w") as lock:
        command = [sys.executable, "-c", held, str(lock.fileno())]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[lock.fileno()]
        )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        remove_abandoned()
        assert path.is_dir()
        child.kill()
    remove_abandoned()
    assert not path.exists()


def test_what_is_not_a_clusters_is_left_alone(temporary: Path) -> None:
    """A directory without a lock, a link and a file are none of ours, whatever they are called."""
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / "broadcast-up-empty").mkdir()
    (temporary / "broadcast-up-file").write_text("")
    (temporary / "broadcast-up-link").symlink_to(elsewhere)
    before = sorted(temporary.rglob("*"))
    remove_abandoned()
    assert sorted(temporary.rglob("*")) == before
