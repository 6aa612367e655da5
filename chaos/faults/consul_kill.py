"""The Consul agent that keeps the catalog dies."""

from chaos.faults.interface import BaseFault, Scene
from chaos.targets.interface import Skipped


class ConsulKill(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: not used: there is one agent.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        super().__init__(scene, f"consul-kill {target}".strip())

    async def inject(self) -> None:
        """See Fault."""
        raise Skipped("the catalog is in NATS, or in a Consul whose process `up` does not own")

    async def heal(self) -> None:
        """See Fault."""
