"""Tests of `chaos.targets.child`, with real processes."""

import os
import signal
import sys
from pathlib import Path

import trio

from chaos.targets.child import Child, Program, ended, gone, program_of
from tests.patience import PATIENCE_S

SLEEPER = Program(
    (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"), "/", os.environ
)
# Starts a child of its own and says which, then waits to be killed.
PARENT = """
import os, sys, time
from pathlib import Path
from chaos.targets.child import Child, Program
program = Program((sys.executable, "-c", "import time; time.sleep(600)"), "/", os.environ)
child = Child(program, Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(600)
"""


async def said(path: Path) -> str:
    """Wait until something is written: a file tells nobody."""
    log = trio.Path(path)
    with trio.fail_after(PATIENCE_S):
        while not (await log.read_text()).endswith("\n"):  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.01)
    return (await log.read_text()).strip()


async def test_a_process_is_known_by_what_it_was_started_as(tmp_path: Path) -> None:
    """Arguments, directory and environment of a running process are enough to start it again."""
    log = tmp_path / "log"
    child = Child(SLEEPER._replace(environment={**os.environ, "MARK": "1"}), log)
    await said(log)
    found = program_of(child.pid)
    child.kill()
    assert found.arguments == SLEEPER.arguments
    assert (found.directory, found.environment["MARK"]) == ("/", "1")
    again = Child(found, log)
    assert again.running
    again.kill()
    assert not again.running


async def test_the_end_of_a_process_is_noticed(tmp_path: Path) -> None:
    """`gone` returns when it has ended, and at once if there is none."""
    child = Child(SLEEPER, tmp_path / "log")
    assert not ended(child.pid)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gone, child.pid)
            os.kill(child.pid, signal.SIGKILL)
        await gone(child.pid)
        assert ended(child.pid)
        child.kill()
        await gone(child.pid)
        assert ended(child.pid)


async def test_one_that_stands_still_is_stopped_too(tmp_path: Path) -> None:
    """A paused process takes no SIGTERM until it goes on: stopping sees to that."""
    child = Child(SLEEPER, tmp_path / "log")
    os.kill(child.pid, signal.SIGSTOP)
    with trio.fail_after(PATIENCE_S):
        await child.stop(PATIENCE_S)
    assert not child.running


async def test_a_child_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """A run that is killed leaves nothing behind."""
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    program = Program((sys.executable, "-c", PARENT, str(inner)), str(Path(__file__).parents[3]), os.environ)
    parent = Child(program, outer)
    grandchild = int(await said(outer))
    os.kill(parent.pid, signal.SIGKILL)
    with trio.fail_after(PATIENCE_S):
        await gone(grandchild)
    parent.kill()


def test_options_are_replaced_or_added() -> None:
    """A node is started again with one thing changed and all else as it was."""
    program = Program(("node", "--nats", "a", "--name", "n"), "/", {})
    assert program.with_option("--nats", "b").arguments == ("node", "--nats", "b", "--name", "n")
    assert program.with_option("--more", "c").arguments[-2:] == ("--more", "c")
    assert (program.option("--name"), program.option("--more")) == ("n", "")
