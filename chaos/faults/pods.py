"""What only Kubernetes does: all pods of a kind are replaced, or there are more or fewer nodes."""

from chaos.faults.interface import BaseFault, Scene
from chaos.targets.interface import Kind, Skipped
from chaos.targets.kubernetes import Kubernetes

_KINDS: dict[str, Kind] = {"": "node", "node": "node", "broker": "broker", "coordinator": "coordinator"}


class RollOut(BaseFault):
    """Every pod of a kind is replaced, as an upgrade does it.

    Args:
        scene: where it happens.
        target: `node`, also for "", `broker` or `coordinator`.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        if target not in _KINDS:
            raise Skipped(f"there are no pods called {target}: {', '.join(filter(None, _KINDS))}")
        self._kind = _KINDS[target]
        super().__init__(scene, f"roll-out {self._kind}")
        self._cluster = _kubernetes(scene)

    async def inject(self) -> None:
        """See Fault: returns when the last of the old pods is gone, and all new ones are ready."""
        await self._cluster.roll_out(self._kind)

    async def heal(self) -> None:
        """See Fault: the new pods stay."""


class Scale(BaseFault):
    """There are to be more nodes, or fewer.

    Args:
        scene: where it happens.
        target: how many.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        super().__init__(scene, f"scale to {target}")
        self._cluster = _kubernetes(scene)
        self._nodes = int(target)

    async def inject(self) -> None:
        """See Fault: returns when there are so many, all ready, and the others are gone."""
        await self._cluster.scale(self._nodes)

    async def heal(self) -> None:
        """See Fault: as many as there were when the run began."""
        await self._cluster.scale(self._cluster.nodes)


def _kubernetes(scene: Scene) -> Kubernetes:
    if not isinstance(scene.target, Kubernetes):
        raise Skipped("only a cluster on Kubernetes has this: --target kubernetes")
    return scene.target
