"""Makes the peers' programs: those in C and Go are compiled when their compiler is there.

They are built from `peers` into a folder of the user's cache, again when their sources changed.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import FLOOR, GO, GO_NATS, HYPERCORN, TRIO_WEBSOCKET

_PEERS = Path(__file__).parent / "peers"
_BUILD_DEADLINE_S = 600
_PYTHON = {
    TRIO_WEBSOCKET: ("trio_websocket", "tests.bench.peers.with_trio_websocket"),
    HYPERCORN: ("hypercorn", "tests.bench.peers.with_hypercorn"),
}


class CannotBuild(Exception):
    """A peer is not to be had on this machine; the message is the reason."""


def command_of(name: str) -> list[str]:
    """The command line that starts a peer; its program is built first, unless it was before.

    Raises:
        CannotBuild: its compiler or library is missing, or compiling failed.
    """
    if name not in _PYTHON:
        return [str(_build(name))]
    library, module = _PYTHON[name]
    if importlib.util.find_spec(library) is None:
        raise CannotBuild(f"there is no Python package `{library}` here")
    return [sys.executable, "-m", module]


def _build(name: str) -> Path:
    sources, compiler = {
        FLOOR: ([_PEERS / "floor.c"], "cc"),
        GO: (sorted((_PEERS / "centrifuge").glob("*.*")), "go"),
        GO_NATS: (sorted((_PEERS / "centrifuge").glob("*.*")), "go"),
    }[name]
    found = shutil.which(compiler)
    if found is None:
        raise CannotBuild(f"there is no `{compiler}` on the PATH")
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "broadcast-bench"
    program = folder / f"{compiler}-{digest}"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{compiler}-{os.getpid()}"
        if name == FLOOR:
            command = [found, "-O2", "-o", str(unfinished), str(sources[0])]
        else:
            command = [found, "build", "-o", str(unfinished), "."]
        _compile(command, sources[0].parent)
        unfinished.replace(program)
    return program


def _compile(command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"`{' '.join(command[:2])}` took longer than {_BUILD_DEADLINE_S} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CannotBuild(f"`{' '.join(command[:2])}` failed: {last}")
