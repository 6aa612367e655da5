"""A door with everything behind it: transports, API and hypercorn, on real parts and the memory broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from msgspec.structs import replace

from node.access.api_key import ApiKeyCheck
from node.api.envelope import JsonApi
from node.api.methods import Api
from node.broker.interface import Broker
from node.config.alt_svc import alt_svc_line
from node.config.options import Config, Duration, HttpApiOptions
from node.door.asgi_app import AsgiApp
from node.door.asgi_pages import endpoints
from node.door.door import Door
from node.door.handover import HandOver
from node.door.http_api import PATH, PREFIX, HttpApi
from node.door.quic import QuicPort
from node.pages import demo_page
from node.telemetry.metrics import Metrics
from node.transports.routes import body_bytes_max, routes
from tests.node.api.fakes import FakeBroker
from tests.node.door.clients import Client
from tests.node.transports import served as transports

KEY = b"X-API-Key: secret\r\n"


class Node:
    """What tests use of it."""

    def __init__(self, served: transports.Served, config: Config) -> None:
        parts = served.parts
        self.served = served
        self.not_ready = ""
        self.metrics = parts.metrics
        self.clients: list[Client] = []
        broker: Broker = FakeBroker()  # type: ignore[assignment]  # only history_remove would need one
        api = Api(parts.publisher, parts.channels, broker, parts.rules, list, parts.metrics)
        check, told = ApiKeyCheck(config.http_api), alt_svc_line(config.http_server)
        self.http_api = HttpApi(JsonApi(api), check, config.http_api, parts.metrics, told)
        streams, websockets = routes(parts)
        pages = endpoints(parts.metrics, lambda: self.not_ready, demo_page())
        self.app = AsgiApp(
            pages,
            self.http_api,
            streams,
            websockets,
            config.http_api,
            body_bytes_max(config),
            parts.timers,
            parts.metrics,
        )
        self.hand_over = HandOver(self.app, config, parts.metrics)
        paths = {**streams, **websockets, PATH: self.http_api.serve, PREFIX: self.http_api.serve}
        # The transports' own door has registered its gauges with the parts' metrics already.
        self.door_metrics = Metrics()
        self.door = Door(config.http_server, paths, self.hand_over.serve, parts.timers, self.door_metrics)
        self.quic = QuicPort(self.app, config, body_bytes_max(config), self.metrics)
        if config.http_server.http3.enabled and self.door.tls is not None:
            self.door.tls.loaders.append(self.quic.load)

    async def connect(self) -> Client:
        client = Client(await trio.open_tcp_stream(*self.door.addresses[0]))
        self.clients.append(client)
        return client

    async def stop(self) -> None:
        self.door.stop()
        self.quic.stop()
        await self.hand_over.stop()


@asynccontextmanager
async def running(**changes: object) -> AsyncIterator[Node]:
    """Run a node; the block has PATIENCE_S.

    Args:
        changes: of the door's and hypercorn's configuration.
    """
    options = HttpApiOptions(key="secret", body_bytes_max=5000, body_deadline_s=Duration(30))
    config = replace(transports.CONFIG, http_api=options, **changes)
    async with transports.served(config.client) as served:
        node = Node(served, config)
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(node.door.serve)
            if config.http_server.http3.enabled:
                await nursery.start(node.quic.serve, addresses)
            try:
                yield node
            finally:
                for client in node.clients:
                    client.stream.socket.close()
            assert node.metrics.failures == 0
            nursery.cancel_scope.cancel()
