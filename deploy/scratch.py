"""The directory of a cluster that keeps nothing: made and removed, those included whose owners could not.

A cluster that is killed with SIGKILL leaves its directory behind; the next one removes it. What tells the
dead from the living is a lock that ends with the processes that hold it, so nothing has to be written
down, and a process id that is used again deceives nobody.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PREFIX = "broadcast-up-"
_LOCK = "lock"


class Scratch(NamedTuple):
    """A directory in use.

    Attributes:
        path: where it is.
        lock: descriptor that keeps others from removing it; a child that inherits it does so too.
    """

    path: Path
    lock: int


@contextlib.contextmanager
def scratch_directory() -> Iterator[Scratch]:
    """An empty directory for the time of the context; those of owners that have died are removed first."""
    remove_abandoned()
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = -1
    try:
        lock = _take_lock(path)
        yield Scratch(path, lock)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def remove_abandoned() -> None:
    """Remove this user's directories that no process holds."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if path.lstat().st_uid == os.geteuid():
                _remove_if_abandoned(path)
        except OSError:
            continue  # held, or removed by somebody else meanwhile, or not made by us


def _take_lock(path: Path) -> int:
    # It gets its name once it is held: nobody finds a lock that is free while its owner lives.
    unnamed = path / f".{_LOCK}"
    lock = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(path / _LOCK)
    return lock


def _remove_if_abandoned(path: Path) -> None:
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
    finally:
        os.close(lock)
