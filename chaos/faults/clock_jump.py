"""The clock of a node jumps, so that tokens expire."""

from chaos.faults.interface import BaseFault, Scene
from chaos.targets.interface import Skipped


class ClockJump(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: the node.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        super().__init__(scene, f"clock-jump {target}".strip())

    async def inject(self) -> None:
        """See Fault."""
        # CLOCK_REALTIME is one for the machine; a time namespace has offsets for the monotonic clocks only.
        raise Skipped("no process can be given a wall clock of its own without a library in front of libc")

    async def heal(self) -> None:
        """See Fault."""
