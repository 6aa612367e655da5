"""A NATS server cannot write any more: to it, its disk is full.

The kernel refuses its writes (setrlimit(2), RLIMIT_FSIZE), for which nobody needs privileges. The error is
EFBIG where a full disk gives ENOSPC; the server treats both alike. A stream that could not be written stays
as it was until the server is started again, so healing does what an operator does: make room, then restart.
"""

import resource

from chaos.faults.choice import one_of
from chaos.faults.interface import BaseFault, Scene
from chaos.targets.interface import Skipped


class DiskFull(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: the server; "" for any.
    """

    def __init__(self, scene: Scene, target: str) -> None:
        self._part = one_of(scene, "broker", target)
        super().__init__(scene, f"disk-full {self._part}")

    async def inject(self) -> None:
        """See Fault."""
        prlimit = getattr(resource, "prlimit", None)
        if prlimit is None:
            raise Skipped("this system cannot limit what another process writes")
        [part] = [part for part in self.scene.target.parts("broker") if part.name == self._part]
        prlimit(part.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    async def heal(self) -> None:
        """See Fault."""
        # A new process has the limits of this one.
        await self.scene.target.kill(self._part)
        await self.scene.target.start(self._part)
