"""A node stands still with its sockets open: SIGSTOP, later SIGCONT."""

from chaos.faults.choice import one_of
from chaos.faults.interface import BaseFault, Scene


class NodeHang(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: the node; "" for any.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        self._part = one_of(scene, "node", target)
        super().__init__(scene, f"node-hang {self._part}")

    async def inject(self) -> None:
        """See Fault."""
        await self.scene.target.pause(self._part)

    async def heal(self) -> None:
        """See Fault."""
        await self.scene.target.resume(self._part)
