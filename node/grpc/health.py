"""The health of the port, as load balancers and orchestrators ask for it and watch it (grpc.health.v1).

Not grpc's own servicer: its form for asyncio writes to those who watch while it holds the lock that every
change needs, so one of them that does not read would keep every change from all the others.
"""

from collections.abc import Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from node.grpc.gate import Context
from node.grpc.loop import Signal

# The generated messages have no types.
_Message = Any
_Response = health_pb2.HealthCheckResponse


class Health:
    """One state, of the whole and of each service.

    Args:
        services: by full name.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._names = ("", *services)
        self._status = _Response.NOT_SERVING
        self._watching: set[Signal] = set()

    def tell(self, *, serving: bool) -> None:
        """Whether clients should come; who watches is told as soon as it reads."""
        status = _Response.SERVING if serving else _Response.NOT_SERVING
        if status == self._status:
            return
        self._status = status
        for changed in self._watching:
            changed.set()

    async def Check(self, request: _Message, context: Context) -> _Message:  # noqa: N802 - the contract's name
        """How it is now."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no service of this name")
        return _Response(status=self._status)

    async def List(self, _: _Message, __: Context) -> _Message:  # noqa: N802 - the contract's name
        """How it is now, by name."""
        statuses = {name: _Response(status=self._status) for name in self._names}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(self, request: _Message, context: Context) -> None:  # noqa: N802 - the contract's name
        """How it is now, and at every change; a client that reads slowly is told of the last one only."""
        known = request.service in self._names
        changed = Signal()
        self._watching.add(changed)
        told = None
        try:
            while True:
                status = self._status if known else _Response.SERVICE_UNKNOWN
                if status != told:
                    await context.write(_Response(status=status))
                    told = status
                else:
                    await changed.wait()
        finally:
            self._watching.discard(changed)
