"""Tests of `chaos.workers` with a real workload process, whose clients find nobody."""

from pathlib import Path

import pytest
import trio

from chaos.generator import Workload
from chaos.history import Client, Session
from chaos.history_file import read
from chaos.targets.child import gone
from chaos.workers import Worker, WorkerLost
from chaos.workload.spec import Command, NodeAddress, Spec
from tests.patience import PATIENCE_S

NOBODY = (NodeAddress("node-1", "127.0.0.1", 1),)


def spec(tmp_path: Path) -> Spec:
    workload = Workload(seed=1, clients=3, nodes=1, transports=("ws", "sse"))
    return Spec("workload-1", str(tmp_path / "workload.jsonl"), workload, NOBODY)


async def test_a_process_does_as_it_is_told_and_ends(tmp_path: Path) -> None:
    """Clients connect when told, it says how they are, and after leaving its history is complete."""
    worker = Worker(spec(tmp_path), tmp_path)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            await worker.tell(Command("connect"))
            assert await worker.until(lambda status: status.clients == 3, PATIENCE_S)
            assert worker.status.live == 0
            await worker.tell(Command("leave"))
    assert worker.status.done == "leave"
    records = list(read(tmp_path / "workload.jsonl"))
    assert len([record for record in records if isinstance(record, Client)]) == 3
    assert any(isinstance(record, Session) and record.reason == "ECONNREFUSED" for record in records)


async def test_a_process_that_dies_is_noticed(tmp_path: Path) -> None:
    """What it would have seen is not known: the run ends with that, not with a verdict."""
    worker = Worker(spec(tmp_path), tmp_path)
    with trio.fail_after(PATIENCE_S), pytest.RaisesGroup(WorkerLost):
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            assert worker._process is not None
            worker._process.kill()


async def test_a_process_ends_with_the_run(tmp_path: Path) -> None:
    """Cancelling leaves nothing behind."""
    worker = Worker(spec(tmp_path), tmp_path)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            assert worker._process is not None
            pid = worker._process.pid
            nursery.cancel_scope.cancel()
        await gone(pid)


async def test_waiting_has_an_end(tmp_path: Path) -> None:
    """What is not reached in time is said to be so."""
    assert not await Worker(spec(tmp_path), tmp_path).until(lambda status: status.live > 0, 0.01)
