"""Connections that a hostile fault holds or makes, as long as it is in force."""

import contextlib
import socket
from collections.abc import Awaitable, Callable

import trio

from chaos.faults.interface import BaseFault, Scene
from chaos.workload.spec import NodeAddress

_RETRY_S = 0.1
_CONNECT_MAX_S = 2.0


class Crowd(BaseFault):
    """So many at once, each doing the same over and over; see Fault.

    Args:
        scene: where it happens.
        name: the fault's.
        count: how many.
        behave: what one does on its connection; the connection is reset when it returns.
        buffer_bytes: what the kernel holds for each, 0 for its own choice.
    """

    slow = True

    def __init__(
        self,
        scene: Scene,
        name: str,
        count: int,
        behave: Callable[[trio.SocketStream, NodeAddress], Awaitable[None]],
        buffer_bytes: int = 0,
    ) -> None:
        super().__init__(scene, name)
        self._count = count
        self._behave = behave
        self._buffer_bytes = buffer_bytes
        self._force = trio.CancelScope()

    async def inject(self) -> None:
        """See Fault."""
        self.scene.nursery.start_soon(self._run)

    async def heal(self) -> None:
        """See Fault."""
        self._force.cancel()

    async def _run(self) -> None:
        with self._force:
            async with trio.open_nursery() as nursery:
                for _ in range(self._count):
                    nursery.start_soon(self._one)

    async def _one(self) -> None:
        while True:
            addresses = self.scene.target.addresses()
            node = self.scene.chance.choice([each for each in addresses if each.serves == "http"])
            with contextlib.suppress(OSError, trio.BrokenResourceError, trio.TooSlowError):
                await self._visit(node)
            await trio.sleep(_RETRY_S)

    async def _visit(self, node: NodeAddress) -> None:
        sock = trio.socket.socket()
        if self._buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer_bytes)
        try:
            with trio.fail_after(_CONNECT_MAX_S):
                await sock.connect((node.host, node.port))
            await self._behave(trio.SocketStream(sock), node)
        finally:
            sock.close()
