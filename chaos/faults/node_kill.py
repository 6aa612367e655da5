"""A node dies without a word: SIGKILL. It is started again on the same port."""

from chaos.faults.choice import one_of
from chaos.faults.interface import BaseFault, Scene


class NodeKill(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: the node; "" for any.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        self._part = one_of(scene, "node", target)
        super().__init__(scene, f"node-kill {self._part}")

    async def inject(self) -> None:
        """See Fault."""
        await self.scene.target.kill(self._part)

    async def heal(self) -> None:
        """See Fault."""
        await self.scene.target.start(self._part)
