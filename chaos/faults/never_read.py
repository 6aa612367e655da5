"""Clients subscribe to everything and never read a byte."""

import trio

from chaos.faults.crowds import Crowd
from chaos.faults.interface import Scene
from chaos.workload.spec import NodeAddress
from chaos.workload.websocket_frames import TEXT, frame, upgrade

_COUNT = 50
_BUFFER_BYTES = 2048
_AGAIN_S = 20.0


def never_read(scene: Scene, target: str) -> Crowd:
    """See MakeFault; the target is not used."""
    commands = ['{"id":1,"connect":{}}']
    commands += [
        f'{{"id":{number},"subscribe":{{"channel":"{channel}"}}}}'
        for number, channel in enumerate(scene.channels, 2)
    ]
    joining = frame(TEXT, "\n".join(commands).encode())

    async def behave(stream: trio.SocketStream, node: NodeAddress) -> None:
        host = f"{node.host}:{node.port}"
        # Sent before the upgrade is answered, since the answer will not be read.
        await stream.send_all(upgrade("/connection/websocket", host) + joining)
        await trio.sleep(_AGAIN_S)

    return Crowd(scene, f"never-read {target}".strip(), _COUNT, behave, _BUFFER_BYTES)
