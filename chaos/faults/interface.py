"""What a fault is: something that can be brought about, and undone. One small file each.

A fault does not decide when, and does not look at what it does to anybody.
"""

import random
from collections.abc import Callable
from typing import NamedTuple, Protocol

import trio

from chaos.targets.interface import Target
from chaos.workload.spec import Command


class Workload(Protocol):
    """The clients of a run, as far as faults need them."""

    async def tell(self, command: Command) -> None:
        """Give every workload process a command."""


class Scene(NamedTuple):
    """Where faults happen.

    Attributes:
        target: the cluster.
        workload: the clients.
        chance: for what a fault may choose.
        nursery: for what a fault does as long as it is in force.
        channels: of the workload.
    """

    target: Target
    workload: Workload
    chance: random.Random
    nursery: trio.Nursery
    channels: tuple[str, ...]


class Fault(Protocol):
    """One fault, made for one use.

    Attributes:
        name: what it is and what it hits: `node-kill node-1`.
        slow: whether it is something that others must not notice; see history.FaultChanged.
        node: for a drain: the node that is to become empty.
        drain_deadline_s: for a drain: seconds until it has to be; otherwise 0.
    """

    name: str
    slow: bool
    node: str
    drain_deadline_s: float

    async def inject(self) -> None:
        """Bring it about; when this returns it is in force.

        Raises:
            Skipped: it cannot be done on this target.
            Failed: the cluster did not do what was asked of it.
        """

    async def heal(self) -> None:
        """Undo it; when this returns nothing of it is left but its consequences.

        Raises:
            Failed: the cluster did not do what was asked of it.
        """


class BaseFault:
    """What most faults are: see Fault.

    Args:
        scene: where it happens.
        name: see Fault.
    """

    slow = False
    node = ""
    drain_deadline_s = 0.0

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = name


MakeFault = Callable[[Scene, str], Fault]
