"""Tests of `chaos.faults.consul_kill`, with a cluster that only remembers."""

import json

import pytest
import trio
import trio.testing

from chaos.faults.consul_kill import ConsulKill
from chaos.targets.interface import Failed, Part
from tests.chaos.faults.scenes import FakeTarget, scene

NODES = ("node-1", "node-2", "node-3")


class InConsul(FakeTarget):
    """A cluster whose coordinator answers, in turn, who serves."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        super().__init__()
        self._parts.append(Part("consul", "catalog", 8, "http://h:8", up=True))
        self.answers = list(answers)

    async def operate(self, *arguments: str) -> str:
        await super().operate(*arguments)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise Failed("the coordinator does not reach its catalog")
        return json.dumps({"nodes": [{"name": name, "state": "SERVING"} for name in answer]})


async def test_it_is_healed_when_every_node_is_known_again(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """The agent comes back empty; what the coordinator cannot say yet is asked again."""
    target = InConsul((), ("node-1",), NODES)
    fault = ConsulKill(scene(nursery)[0]._replace(target=target), "")
    assert fault.slow
    await fault.inject()
    assert target.done == [("kill", "consul")]
    await fault.heal()
    assert target.done[1] == ("start", "consul")
    assert target.done[2:] == [("nodes", "--json")] * 3


async def test_a_node_that_stays_away_counts_against_the_cluster(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """By name."""
    target = InConsul(("node-1", "node-3"))
    fault = ConsulKill(scene(nursery)[0]._replace(target=target), "")
    with pytest.raises(Failed, match="node-2 did not come back into the catalog within 30 s"):
        await fault.heal()
