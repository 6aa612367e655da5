"""Every connection breaks at the same moment, as when a load balancer is replaced."""

from chaos.faults.interface import BaseFault, Scene
from chaos.workload.spec import Command


class ReconnectStorm(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: the share of the connections, 1 if it is "".
    """

    def __init__(self, scene: Scene, target: str) -> None:
        super().__init__(scene, f"reconnect-storm {target}".strip())
        self._share = float(target or 1)

    async def inject(self) -> None:
        """See Fault."""
        await self.scene.workload.tell(Command("drop", share=self._share))

    async def heal(self) -> None:
        """See Fault: it was over as soon as it had begun."""
