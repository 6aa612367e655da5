"""A scene whose cluster only remembers what was done to it."""

import random
from collections.abc import Mapping, Sequence

import trio

from chaos.faults.interface import Scene
from chaos.history import Sample
from chaos.proxy import Proxy
from chaos.targets.interface import Kind, Part
from chaos.workload.spec import Command, NodeAddress


class FakeTarget:
    """See chaos.targets.interface.Target."""

    stop_max_s = 40.0

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []
        self.links: Mapping[str, Proxy] = {}
        self.nodes: tuple[NodeAddress, ...] = ()
        self._parts = [
            *(Part(f"node-{n}", "node", n, f"http://h:{n}", up=True) for n in (1, 2, 3)),
            *(Part(f"nats-{n}", "broker", n, f"nats://h:{n}", up=True) for n in (1, 2, 3)),
            *(
                Part(name, "coordinator", 9, "http://h:9", up=True)
                for name in ("coordinator", "coordinator-2")
            ),
        ]

    def parts(self, kind: Kind) -> Sequence[Part]:
        return [part for part in self._parts if part.kind == kind]

    def addresses(self) -> tuple[NodeAddress, ...]:
        return self.nodes

    async def kill(self, name: str) -> None:
        self.done.append(("kill", name))

    async def terminate(self, name: str) -> None:
        self.done.append(("terminate", name))

    async def pause(self, name: str) -> None:
        self.done.append(("pause", name))

    async def resume(self, name: str) -> None:
        self.done.append(("resume", name))

    async def start(self, name: str) -> None:
        self.done.append(("start", name))

    async def add_node(self) -> str:
        return "node-4"

    async def add_coordinator(self) -> str:
        return "coordinator-3"

    async def leader(self) -> str:
        return "coordinator-2"

    async def operate(self, *arguments: str) -> str:
        self.done.append(arguments)
        return ""

    def lost(self) -> Sequence[str]:
        return []

    async def samples(self) -> list[Sample]:
        return []

    async def heal(self) -> None:
        self.done.append(("heal",))


class FakeWorkload:
    """See chaos.faults.interface.Workload."""

    def __init__(self) -> None:
        self.told: list[Command] = []

    async def tell(self, command: Command) -> None:
        self.told.append(command)


def scene(nursery: trio.Nursery, seed: int = 1) -> tuple[Scene, FakeTarget, FakeWorkload]:
    target, workload = FakeTarget(), FakeWorkload()
    return Scene(target, workload, random.Random(seed), nursery, ("history:1", "plain:1")), target, workload
