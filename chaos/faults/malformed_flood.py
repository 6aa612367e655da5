"""Clients that send what no protocol allows: noise, broken frames, JSON that is none."""

import trio

from chaos.faults.crowds import Crowd
from chaos.faults.interface import Scene
from chaos.workload.spec import NodeAddress
from chaos.workload.websocket_frames import BINARY, TEXT, frame, upgrade

_COUNT = 20
_READ_MAX_S = 1.0
_NOISE_BYTES = 512


def malformed_flood(scene: Scene, target: str) -> Crowd:
    """See MakeFault; the target is not used."""

    async def behave(stream: trio.SocketStream, node: NodeAddress) -> None:
        noise = scene.chance.randbytes(_NOISE_BYTES)
        websocket = upgrade("/connection/websocket", f"{node.host}:{node.port}")
        message = scene.chance.choice(
            [
                noise + b"\r\n\r\n",
                websocket + noise,
                websocket + frame(BINARY, noise),
                websocket + frame(TEXT, b'{"id":1,"connect":{}}\n{"id":2,"subscribe":[[[['),
                b"POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 512\r\n\r\n" + noise,
            ]
        )
        await stream.send_all(message)
        with trio.move_on_after(_READ_MAX_S):
            while await stream.receive_some():
                pass

    return Crowd(scene, f"malformed-flood {target}".strip(), _COUNT, behave)
