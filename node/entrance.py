"""The way in: the node's port with everything that answers on it."""

from typing import NamedTuple

from node.access.api_key import ApiKeyCheck
from node.api.envelope import JsonApi
from node.api.methods import Api
from node.door.asgi_app import AsgiApp
from node.door.asgi_pages import endpoints
from node.door.door import Door, Handler
from node.door.handover import HandOver
from node.door.http_api import PATH, PREFIX, HttpApi
from node.pages import demo_page
from node.readiness import Readiness
from node.session import Parts
from node.transports.routes import body_bytes_max, routes


class Entrance(NamedTuple):
    """Attributes:
    door: the port, and what is served on its fast path.
    hand_over: hypercorn, for everything else.
    """

    door: Door
    hand_over: HandOver


def open_entrance(parts: Parts, api: Api, readiness: Readiness) -> Entrance:
    """Build the port: what it serves itself, and hypercorn for everything else; all of it answers there too.

    Args:
        parts: what sessions share.
        api: the server API's methods.
        readiness: what `/readyz` answers.
    """
    config, metrics = parts.config, parts.metrics
    streams, websockets = routes(parts)
    http_api = HttpApi(JsonApi(api), ApiKeyCheck(config.http_api), config.http_api, metrics)
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
    return Entrance(Door(config.http_server, paths, hand_over.serve, parts.timers, metrics), hand_over)
