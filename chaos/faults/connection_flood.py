"""Connections come as fast as they can be made, and go without having asked for anything."""

import trio

from chaos.faults.crowds import Crowd
from chaos.faults.interface import Scene
from chaos.workload.spec import NodeAddress

_COUNT = 50
_HOLD_S = 0.2


def connection_flood(scene: Scene, target: str) -> Crowd:
    """See MakeFault; the target is not used."""

    async def behave(stream: trio.SocketStream, node: NodeAddress) -> None:
        # Half of a request's head, so that the node waits for the rest.
        await stream.send_all(f"GET /connection/websocket HTTP/1.1\r\nHost: {node.host}\r\n".encode())
        await trio.sleep(_HOLD_S)

    return Crowd(scene, f"connection-flood {target}".strip(), _COUNT, behave)
