"""What only Kubernetes does to nodes: all of them are replaced, or there are more or fewer of them."""

from chaos.faults.interface import BaseFault, Scene
from chaos.targets.interface import Skipped
from chaos.targets.kubernetes import Kubernetes


class RollOut(BaseFault):
    """Every node is replaced, as an upgrade does it.

    Args:
        scene: where it happens.
        target: of no meaning: it is always all of them.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        super().__init__(scene, f"roll-out {target}".strip())
        self._cluster = _kubernetes(scene)

    async def inject(self) -> None:
        """See Fault: returns when the last of the old nodes has sent its clients away and is gone."""
        await self._cluster.roll_out()

    async def heal(self) -> None:
        """See Fault: the new nodes stay."""


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
