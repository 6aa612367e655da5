"""A node is stopped in order, as a deploy does it: SIGTERM. It is started again on the same port.

To its clients that is a drain: it is judged as one.
"""

from chaos.faults.choice import one_of
from chaos.faults.interface import BaseFault, Scene


class NodeTerm(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: the node; "" for any.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        self.node = one_of(scene, "node", target)
        self.drain_deadline_s = scene.target.stop_max_s
        super().__init__(scene, f"node-term {self.node}")

    async def inject(self) -> None:
        """See Fault: returns when the node has sent its clients away and ended."""
        await self.scene.target.terminate(self.node)

    async def heal(self) -> None:
        """See Fault."""
        await self.scene.target.start(self.node)
