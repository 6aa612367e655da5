"""A node is drained as an operator does it, and put back into rotation."""

from chaos.faults.choice import one_of
from chaos.faults.interface import BaseFault, Scene

_DEADLINE_S = 30.0


class NodeDrain(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: the node; "" for any.
    """

    drain_deadline_s = _DEADLINE_S

    def __init__(self, scene: Scene, target: str) -> None:
        self.node = one_of(scene, "node", target)
        super().__init__(scene, f"node-drain {self.node}")

    async def inject(self) -> None:
        """See Fault: returns when the node is empty."""
        deadline = f"{self.drain_deadline_s:.0f}s"
        await self.scene.target.operate("drain", self.node, "--deadline", deadline, "--json")

    async def heal(self) -> None:
        """See Fault."""
        await self.scene.target.operate("undrain", self.node)
