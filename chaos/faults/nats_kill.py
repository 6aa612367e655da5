"""NATS servers die: one, or all of them. They are started again on the same ports and storage."""

from chaos.faults.choice import one_of
from chaos.faults.interface import BaseFault, Scene

ALL = "all"


class NatsKill(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: a server, `all`, or "" for any.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        servers = [part.name for part in scene.target.parts("broker")]
        self._servers = servers if target == ALL else [one_of(scene, "broker", target)]
        super().__init__(scene, f"nats-kill {', '.join(self._servers)}")

    async def inject(self) -> None:
        """See Fault."""
        for server in self._servers:
            await self.scene.target.kill(server)

    async def heal(self) -> None:
        """See Fault."""
        for server in self._servers:
            await self.scene.target.start(server)
