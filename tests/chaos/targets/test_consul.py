"""Tests of `chaos.targets.consul`, with the real one where it was built."""

import random
from pathlib import Path

import pytest
import trio

from chaos.targets import consul
from chaos.targets.child import Child
from chaos.targets.interface import Skipped
from chaos.targets.usage import get

DEADLINE_S = 60


async def test_an_agent_starts_again_where_it_was(tmp_path: Path) -> None:
    """The same program gives the same address, and an agent that has forgotten everything."""
    try:
        binary = consul.find()
    except Skipped as skipped:
        pytest.skip(str(skipped))
    program, url = consul.program(binary, tmp_path, random.Random())
    for _ in range(2):
        child = Child(program, tmp_path / "log")
        try:
            with trio.fail_after(DEADLINE_S):
                await consul.ready(url, child)
            assert child.running
            assert await get(url, "/v1/catalog/services") is not None
        finally:
            child.kill()


def test_a_missing_program_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what would make it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Skipped, match=r"\.ci/consul builds it"):
        consul.find()


async def test_an_agent_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    """Its log says why."""
    program, url = consul.program(Path("/bin/false"), tmp_path, random.Random(1))
    child = Child(program, tmp_path / "log")
    with trio.fail_after(DEADLINE_S):
        await consul.ready(url, child)
    assert not child.running
