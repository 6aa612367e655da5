"""Clients that read slowly come; when it is healed they read like others."""

from chaos.faults.interface import BaseFault, Scene
from chaos.workload.spec import Command


class SlowClients(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: not used.
    """

    slow = True

    def __init__(self, scene: Scene, target: str) -> None:
        super().__init__(scene, f"slow-clients {target}".strip())

    async def inject(self) -> None:
        """See Fault."""
        await self.scene.workload.tell(Command("slow", seconds=1.0))

    async def heal(self) -> None:
        """See Fault."""
        await self.scene.workload.tell(Command("hasten"))
