"""The Consul agent that keeps the catalog dies, with all it knew. Clients must not notice.

It is started again on its ports, empty, and has to be told by every node that it is there.
"""

import json

import trio

from chaos.faults.interface import BaseFault, Scene
from chaos.targets.interface import Failed, Skipped

_AGAIN_MAX_S = 30.0
_LOOK_EVERY_S = 0.5


class ConsulKill(BaseFault):
    """See the module.

    Args:
        scene: where it happens.
        target: not used: there is one agent.
    """

    slow = True

    def __init__(self, scene: Scene, target: str) -> None:
        super().__init__(scene, f"consul-kill {target}".strip())

    async def inject(self) -> None:
        """See Fault."""
        agents = self.scene.target.parts("catalog")
        if not agents:
            raise Skipped("the catalog is in NATS, or in a Consul that this run did not start")
        await self.scene.target.kill(agents[0].name)

    async def heal(self) -> None:
        """See Fault: returns when every node is known again."""
        target = self.scene.target
        for agent in target.parts("catalog"):
            await target.start(agent.name)
        wanted = {part.name for part in target.parts("node") if part.up}
        missing = wanted
        with trio.move_on_after(_AGAIN_MAX_S):
            while missing := wanted - await self._serving():  # noqa: ASYNC110 - nobody tells
                await trio.sleep(_LOOK_EVERY_S)
            return
        raise Failed(
            f"{', '.join(sorted(missing))} did not come back into the catalog within {_AGAIN_MAX_S:.0f} s"
        )

    async def _serving(self) -> set[str]:
        """The nodes that take new sessions, as the coordinator knows them; nobody while it is away."""
        try:
            said = json.loads(await self.scene.target.operate("nodes", "--json"))
        except Failed:
            return set()
        return {node["name"] for node in said["nodes"] if node["state"] == "SERVING"}
