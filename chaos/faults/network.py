"""A link becomes slow, narrow, silent, or is cut. Needs links that go through proxies."""

from chaos.faults.interface import BaseFault, MakeFault, Scene
from chaos.proxy import CLEAR, Conditions
from chaos.targets.interface import Skipped


class LinkFault(BaseFault):
    """Conditions on links.

    Args:
        scene: where it happens.
        kind: the fault's name.
        target: a link (`clients:node-1`, `node-1:nats`), or how some begin (`node-1:`); "" for any one.
        conditions: what the links are like meanwhile.
        reset: whether connections that are open are reset first.
    """

    def __init__(
        self, scene: Scene, kind: str, target: str, conditions: Conditions, *, reset: bool = False
    ) -> None:
        names = sorted(scene.target.links)
        self._links = [name for name in names if name.startswith(target)] if target else names
        if self._links and not target:
            self._links = [scene.chance.choice(names)]
        self._conditions = conditions
        self._reset = reset
        super().__init__(scene, f"{kind} {target or ', '.join(self._links)}")

    async def inject(self) -> None:
        """See Fault."""
        if not self._links:
            raise Skipped("no such link goes through a proxy in this run")
        for name in self._links:
            link = self.scene.target.links[name]
            link.conditions = self._conditions
            if self._reset:
                link.reset()

    async def heal(self) -> None:
        """See Fault."""
        for name in self._links:
            self.scene.target.links[name].conditions = CLEAR


def link_fault(kind: str, conditions: Conditions, *, reset: bool = False) -> MakeFault:
    """A fault of this kind, to be made for a link."""

    def make(scene: Scene, target: str) -> LinkFault:
        return LinkFault(scene, kind, target, conditions, reset=reset)

    return make
