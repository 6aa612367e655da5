"""Tests of `chaos.rig`: what is written down of faults, with a cluster that only remembers."""

from pathlib import Path

import pytest
import trio
import trio.testing

from chaos.faults.catalogue import FAULTS
from chaos.faults.interface import BaseFault, Scene
from chaos.history import FaultChanged, Note, Phase, Rebalance, Run
from chaos.history_file import read
from chaos.rig import Rig, workload_of
from chaos.settings import Settings
from chaos.targets.interface import Failed, Skipped
from chaos.workload.spec import NodeAddress
from chaos.workload.transports import GRPC, TRANSPORTS
from tests.chaos.faults.scenes import FakeTarget

SETTINGS = Settings(name="x", seed=3, clients=10)


class Stubborn(FakeTarget):
    """A cluster whose nodes do not come back."""

    async def start(self, name: str) -> None:
        raise Failed(f"{name} did not become ready")


def rig(tmp_path: Path, nursery: trio.Nursery, target: FakeTarget | None = None) -> Rig:
    made = Rig(SETTINGS, target or FakeTarget(), tmp_path, nursery)
    made._enter("load")
    return made


def written(made: Rig) -> list[object]:
    made._history.close(0.0)
    return list(read(made.directory / "runner.jsonl"))


async def test_a_fault_is_written_before_it_acts_and_after_it_ended(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """The judge knows when each was in force; the first one ends the quiet part of the run."""
    made = rig(tmp_path, nursery)
    name = await made.inject("node-kill", "node-1")
    assert made.in_force == (name,) == ("node-kill node-1",)
    await made.heal("node-kill")
    assert made.in_force == ()
    records = written(made)
    assert isinstance(records[0], Run)
    assert [record.name for record in records if isinstance(record, Phase)] == ["load", "faults"]
    faults = [(record.name, record.phase) for record in records if isinstance(record, FaultChanged)]
    assert faults == [("node-kill node-1", phase) for phase in ("inject", "healing", "heal")]
    assert made.failures == []


@pytest.mark.parametrize(("optional", "failures"), [(True, 0), (False, 1)])
async def test_a_fault_that_cannot_be_is_never_passed_over_in_silence(
    tmp_path: Path, nursery: trio.Nursery, optional: bool, failures: int
) -> None:
    """It is written with its reason; an experiment that is about this fault has not succeeded without it."""
    made = rig(tmp_path, nursery)
    for name in ("clock-jump", "node-kill"):
        await made.inject(name, "node-9", optional=optional)
    skipped = [record for record in written(made) if isinstance(record, FaultChanged)]
    assert [record.phase for record in skipped if record.detail] == ["skipped", "skipped"]
    assert len(made.failures) == 2 * failures
    assert made.in_force == ()


async def test_what_the_cluster_fails_to_do_counts_against_it(tmp_path: Path, nursery: trio.Nursery) -> None:
    """A node that does not come back is noted, and the run goes on to its end."""
    made = rig(tmp_path, nursery, Stubborn())
    await made.inject("node-kill", "node-1")
    await made.heal_everything()
    assert made.failures == ["node-1 did not become ready"]
    assert "node-1 did not become ready" in [
        record.text for record in written(made) if isinstance(record, Note)
    ]


async def test_a_fault_that_is_in_force_is_not_brought_about_again(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """Healed once it is over: nothing of it stays in force to excuse the rest of the run."""
    made = rig(tmp_path, nursery)
    for _ in range(2):
        await made.inject("node-hang", "node-1")
    await made.heal_everything()
    assert made.failures == ["node-hang node-1 was skipped: it is in force already"]
    faults = [record.phase for record in written(made) if isinstance(record, FaultChanged)]
    assert faults == ["inject", "skipped", "healing", "heal"]


class Leaderless(FakeTarget):
    """A cluster that nobody operates: no coordinator came back."""

    async def operate(self, *arguments: str) -> str:
        if arguments[0] == "undrain":
            raise Skipped("there is no coordinator")
        return await super().operate(*arguments)


async def test_what_cannot_be_healed_counts_against_the_cluster(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """A run that has begun is judged, whatever is missing at its end."""
    made = rig(tmp_path, nursery, Leaderless())
    await made.inject("node-drain", "node-1")
    await made.heal_everything()
    assert made.failures == ["there is no coordinator"]
    assert made.in_force == ()
    assert [each.phase for each in written(made) if isinstance(each, FaultChanged)][-1] == "heal"


class Greedy(BaseFault):
    """Draws as often as its target says while it is in force."""

    def __init__(self, scene: Scene, target: str) -> None:
        super().__init__(scene, "greedy")
        self._draws = int(target)

    async def inject(self) -> None:
        for _ in range(self._draws):
            self.scene.chance.random()

    async def heal(self) -> None:
        """Nothing is left of it."""


async def test_what_a_fault_draws_changes_no_other_one(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood makes as many connections as there is time for: the seed hits the same parts all the same."""
    monkeypatch.setitem(FAULTS, "greedy", Greedy)
    hit = []
    for draws in ("0", "17"):
        directory = tmp_path / draws
        directory.mkdir()
        made = rig(directory, nursery)
        await made.inject("greedy", draws)
        hit.append([await made.inject(name) for name in ("node-kill", "nats-kill", "node-hang", "node-term")])
        made._history.close(0.0)
    assert hit[0] == hit[1]


class Mortal(FakeTarget):
    """A cluster whose node dies by itself."""

    def lost(self) -> list[str]:
        return ["node-2"]


async def test_a_part_that_dies_by_itself_is_no_success(
    tmp_path: Path, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Clients find other nodes and miss nothing: still, a node that crashes must not go unseen."""
    made = rig(tmp_path, nursery, Mortal())
    nursery.start_soon(made._watch)
    # On a clock that jumps: the watcher has looked once by then, however slow the machine.
    await trio.sleep(0.5)
    assert made.failures == ["node-2 ended by itself"]
    made._closed = True
    made._history.close(0.0)


async def test_healing_everything_leaves_nothing_in_force(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Every fault is healed, then the cluster as a whole."""
    target = FakeTarget()
    made = rig(tmp_path, nursery, target)
    for name, hit in (("node-hang", "node-1"), ("nats-kill", "nats-2")):
        await made.inject(name, hit)
    await made.heal_everything()
    assert made.in_force == ()
    assert target.done[-3:] == [("resume", "node-1"), ("start", "nats-2"), ("heal",)]
    made._history.close(0.0)


def test_clients_come_by_every_transport_that_the_cluster_has() -> None:
    """Where no node serves gRPC, its share is the others'."""
    http, grpc = NodeAddress("node-1", "h", 1), NodeAddress("grpc-1", "h", 2, "grpc")
    assert workload_of(SETTINGS, [http, grpc]).transports == tuple(TRANSPORTS)
    assert set(workload_of(SETTINGS, [http]).transports) == set(TRANSPORTS) - {GRPC}


async def test_a_rebalance_is_written_with_the_nodes_and_the_pace(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """The judge knows whose shares to compare, and how fast clients may go."""
    target = FakeTarget()
    made = rig(tmp_path, nursery, target)
    await made.rebalance(40.0)
    assert target.done == [("rebalance", "--rate", "40", "--json")]
    found = [record for record in written(made) if isinstance(record, Rebalance)]
    assert [(record.phase, record.nodes, record.rate) for record in found] == [
        ("begin", ("node-1", "node-2", "node-3"), 40.0),
        ("end", ("node-1", "node-2", "node-3"), 40.0),
    ]
