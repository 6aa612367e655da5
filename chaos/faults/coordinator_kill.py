"""The coordinator that leads dies: SIGKILL, and no client may notice. It comes back on the same ports."""

from chaos.faults.choice import one_of
from chaos.faults.interface import BaseFault, Scene


class CoordinatorKill(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: the coordinator; "" for the one that leads when it comes to it.
    """

    slow = True

    def __init__(self, scene: Scene, target: str) -> None:
        self._part = target
        super().__init__(scene, f"coordinator-kill {target or 'leader'}")

    async def inject(self) -> None:
        """See Fault."""
        leader = self._part or await self.scene.target.leader()
        self._part = one_of(self.scene, "coordinator", leader)
        await self.scene.target.kill(self._part)

    async def heal(self) -> None:
        """See Fault."""
        await self.scene.target.start(self._part)
