"""Tests of `deploy.processes`, on real processes."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import pytest
import trio

from deploy.processes import Child, LineSplitter, describe_exit
from tests.deploy.pids import ended
from tests.patience import PATIENCE_S

Start = Callable[[str], Child]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    children: list[Child] = []

    def start_python(code: str) -> Child:
        children.append(Child("child", [sys.executable, "-c", code]))
        return children[-1]

    with trio.fail_after(PATIENCE_S):
        yield start_python
    for child in children:
        child.kill()


async def test_follow_shows_every_line_and_the_exit_code(start: Start) -> None:
    """All a child wrote, the line it left unfinished too, is shown before it counts as ended."""
    child = start("import sys; print('one'); print('two', file=sys.stderr); print('th', end=''); sys.exit(7)")
    shown: list[str] = []
    await child.follow(shown.append)
    assert sorted(shown) == ["one", "th", "two"]
    assert child.exit_code == 7
    assert child.exited.is_set()
    assert sorted(child.last_lines) == sorted(shown)


async def test_terminate_and_kill(start: Start) -> None:
    """A child that ignores SIGTERM is still ended by `kill`, and ending it twice is harmless."""
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)"
    child = start(f"{code}; signal.pause(); signal.pause()")
    up = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.follow, lambda _: up.set())
        await up.wait()
        child.terminate()
        child.kill()
    child.kill()
    child.terminate()
    assert child.exit_code == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process ask to die with its parent")
async def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    """SIGKILL of the parent, which can then do nothing, ends the child."""
    code = (
        "import sys, signal; from deploy.processes import Child\n"
        "print(Child('x', [sys.executable, '-c', 'import signal; signal.pause()']).pid, flush=True)\n"
        "signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)  # noqa: ASYNC220 - short
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(await trio.to_thread.run_sync(parent.stdout.readline))
    parent.kill()
    parent.wait()
    await ended(pid)


async def test_a_missing_program_is_an_os_error() -> None:
    """Nothing is left open when the program does not exist."""
    with pytest.raises(FileNotFoundError):
        Child("x", ["/does/not/exist"])


def test_line_splitter_keeps_unfinished_lines_until_they_end() -> None:
    """Lines come out whole however the bytes were cut, and a broken character does no harm."""
    splitter = LineSplitter()
    assert splitter.feed(b"on") == []
    assert splitter.feed(b"e\n\nt\xffo\nth") == ["one", "", "t\N{REPLACEMENT CHARACTER}o"]
    assert splitter.end() == ["th"]
    assert splitter.end() == []


def test_line_splitter_bounds_its_memory() -> None:
    """A child that never ends its line cannot fill our memory."""
    splitter = LineSplitter()
    pieces = [piece for _ in range(10) for piece in splitter.feed(b"x" * 50_000)]
    assert sum(map(len, [*pieces, *splitter.end()])) == 500_000
    assert max(map(len, pieces)) <= 120_000


@pytest.mark.parametrize(
    ("code", "words"), [(3, "exit code 3"), (0, "exit code 0"), (-9, "killed by SIGKILL")]
)
def test_describe_exit(code: int, words: str) -> None:
    """A person reads how a process ended without knowing Python's numbers."""
    assert describe_exit(code) == words
