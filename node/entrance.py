"""The way in: the node's port with everything that answers on it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import trio

from node.access.api_key import ApiKeyCheck
from node.api.envelope import JsonApi
from node.api.methods import Api
from node.config.alt_svc import alt_svc_line
from node.config.options import Config
from node.door.asgi_app import AsgiApp
from node.door.asgi_pages import endpoints
from node.door.door import Door, Handler
from node.door.handover import HandOver
from node.door.http_api import PATH, PREFIX, HttpApi
from node.door.tls import Tls
from node.pages import demo_page
from node.readiness import Readiness
from node.session import Parts
from node.telemetry.metrics import Metrics
from node.transports.routes import body_bytes_max, routes

if TYPE_CHECKING:
    from node.door.quic import QuicPort


class Entrance(Protocol):
    """Where clients come in.

    Attributes:
        door: the HTTP port.
        grpc_port: where gRPC is served, 0 for nowhere.
    """

    door: Door

    @property
    def grpc_port(self) -> int:
        """See Attributes."""

    async def serve(
        self, *, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until `stop`, and then until the last client has gone; told the door's addresses."""

    def leave(self, *, leaving: bool = True) -> None:
        """Serve on, and let clients come to other nodes; False takes it back."""

    async def stop(self) -> None:
        """Take nobody any more, and let each client end with what is being served to it."""


# What makes an entrance of the parts of a node.
Opener = Callable[[Parts, Api, Readiness], Entrance]


class HttpEntrance:
    """One port, for everything over HTTP.

    Args:
        door: the port, and what is served on its fast path.
        hand_over: hypercorn, for everything else.
        quic: the UDP port of the same number, if there is one.
    """

    grpc_port = 0

    def __init__(self, door: Door, hand_over: HandOver, quic: "QuicPort | None" = None) -> None:
        self.door = door
        self._hand_over = hand_over
        self._quic = quic

    async def serve(
        self, *, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """See Entrance."""
        if self._quic is None:
            await self.door.serve(task_status=task_status)
            return
        async with trio.open_nursery() as serving:
            addresses = await serving.start(self.door.serve)
            await serving.start(self._quic.serve, addresses)
            task_status.started(addresses)

    def leave(self, *, leaving: bool = True) -> None:
        """See Entrance."""
        self.door.leave(leaving=leaving)
        if self._quic is not None:
            self._quic.leave(leaving=leaving)

    async def stop(self) -> None:
        """See Entrance."""
        self.door.stop()
        if self._quic is not None:
            self._quic.stop()
        await self._hand_over.stop()


def open_entrance(parts: Parts, api: Api, readiness: Readiness, *, clients: bool = True) -> HttpEntrance:
    """Build the port: what it serves itself, and hypercorn for everything else; all of it answers there too.

    Args:
        parts: what sessions share.
        api: the server API's methods.
        readiness: what `/readyz` answers.
        clients: whether it is for clients too, or only for probes, metrics and the server API.
    """
    config, metrics = parts.config, parts.metrics
    streams, websockets = routes(parts) if clients else ({}, {})
    check, told = ApiKeyCheck(config.http_api), alt_svc_line(config.http_server)
    http_api = HttpApi(JsonApi(api), check, config.http_api, metrics, told)
    demo = demo_page(config.demo.peers) if config.demo.enabled else None
    app = AsgiApp(
        endpoints(metrics, readiness.refusal, demo, readiness.caution),
        http_api,
        streams,
        websockets,
        config.http_api,
        body_bytes_max(config),
        parts.timers,
        metrics,
    )
    hand_over = HandOver(app, config, metrics)
    paths: dict[str, Handler] = {**streams, **websockets, PATH: http_api.serve, PREFIX: http_api.serve}
    door = Door(config.http_server, paths, hand_over.serve, parts.timers, metrics)
    if config.http_server.http3.enabled:
        return HttpEntrance(door, hand_over, _open_quic(app, config, metrics, door.tls))
    return HttpEntrance(door, hand_over)


def _open_quic(app: AsgiApp, config: Config, metrics: Metrics, tls: Tls | None) -> "QuicPort":
    # Imported by whom it serves: memory.
    from node.door.quic import QuicPort

    if tls is None:
        raise AssertionError("the configuration was checked")
    quic = QuicPort(app, config, max(config.http_api.body_bytes_max, body_bytes_max(config)), metrics)
    tls.loaders.append(quic.load)
    return quic
