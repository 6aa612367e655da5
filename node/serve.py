"""Composition root: builds a node's parts, owns its nurseries and the order in which it stops.

Started first and stopped last is what clients depend on: the broker, then the hub and the timers, then the
door. Stopping goes the other way: nothing new is accepted, everything queued is written, every client is
told, and only then the parts end.
"""

import gc
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib.metadata import version as distribution_version
from uuid import uuid4

import structlog
import trio

from node.access.api_key import ApiKeyCheck
from node.access.channels import ChannelRules
from node.access.origins import OriginCheck
from node.api.envelope import JsonApi
from node.api.methods import Api
from node.api.publisher import Publisher
from node.broker.interface import Broker, BrokerUnavailable
from node.broker.memory import MemoryBroker, MemoryStore
from node.broker.namespaces import Namespaces
from node.broker.nats.broker import NatsBroker
from node.config.cautions import warnings
from node.config.options import Config
from node.door.asgi_app import AsgiApp
from node.door.asgi_pages import endpoints
from node.door.door import Door, Handler
from node.door.handover import HandOver
from node.door.http_api import PATH, PREFIX, HttpApi
from node.history.channels import Channels
from node.hub import Hub
from node.members import Members, NodeInfo
from node.outbox import Writers
from node.pages import demo_page
from node.protocol.reasons import SHUTDOWN
from node.readiness import Readiness
from node.session import Parts
from node.sessions import Sessions
from node.telemetry.logs import MissingLines, configure_logging
from node.telemetry.metrics import Metrics, watch_loop_lag
from node.telemetry.series import BROKER_COUNTERS
from node.timers import Timers
from node.transports import sse, websocket

VERSION = distribution_version("broadcast-cluster")
# Of the time to stop, what is kept for the parts behind the door: telling the broker goodbye.
_STOP_MARGIN_S = 1.0
# Of the time to stop, how much what is queued may take to be written; the rest is for the goodbyes.
_WRITING_SHARE = 0.5
# Objects made before the collector looks at the young ones: a connect makes hundreds that all live long.
_GC_THRESHOLDS = (50_000, 50, 1000)

log = structlog.get_logger(__name__)


def main(config: Config, on_ready: Callable[[str, int], None] | None = None) -> int:
    """Run one node until SIGTERM or SIGINT; returns the exit status.

    Args:
        config: checked by `load`.
        on_ready: called with address and port, once, when clients can be served.

    Raises:
        DoorError: the port cannot be opened.
    """
    missing_lines = configure_logging(config.log, node=node_name(config))
    # What exists now lives as long as the process: the collector need not look at it again.
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.freeze()
    trio.run(serve, config, on_ready, missing_lines)
    return 0


def node_name(config: Config) -> str:
    """What a node is called in logs, metrics and `info`: unique on its machine."""
    return config.node.name or f"{socket.gethostname()}-{config.http_server.port or os.getpid()}"


async def serve(
    config: Config,
    on_ready: Callable[[str, int], None] | None = None,
    missing_lines: MissingLines | None = None,
) -> None:
    """Serve until told to stop by a signal, then stop in order; cancellation ends everything at once.

    Args:
        config: checked by `load`.
        on_ready: called with address and port, once, when clients can be served.
        missing_lines: the log's, for the metrics.
    """
    for warning in warnings(config):
        log.warning(warning)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as background:
            node = Node(config, background, missing_lines)
            background.start_soon(_abort_on_second_signal, signals, node.stopping)
            await node.run(on_ready)
            background.cancel_scope.cancel()
    log.info("node stopped")


async def _abort_on_second_signal(signals: AsyncIterator[int], stopping: trio.Event) -> None:
    async for number in signals:
        if stopping.is_set():
            log.warning("second signal: stopping at once", signal=signal.Signals(number).name)
            os._exit(1)
        log.info("stopping", signal=signal.Signals(number).name)
        stopping.set()


class Node:
    """The parts of one node, built and wired.

    Args:
        config: checked by `load`.
        background: where the parts' tasks run; to be cancelled when `run` has returned.
        missing_lines: the log's, for the metrics.

    Attributes:
        stopping: set it to stop.
    """

    def __init__(
        self, config: Config, background: trio.Nursery, missing_lines: MissingLines | None = None
    ) -> None:
        self._config = config
        self._background = background
        self._started_at = time.monotonic()
        self._uid = str(uuid4())
        self.stopping = trio.Event()
        self.name = node_name(config)
        self.metrics = Metrics(version=VERSION, node=self.name)
        self.timers = Timers()
        self.hub = Hub(self.metrics)
        self.rules = ChannelRules(config.channel)
        self.broker = _broker(config, self.name)
        self.channels = open_channels(config, self.broker, self.hub, self.rules, self.metrics)
        self.sessions = Sessions(config.client.connection_limit, config.client.user_connection_limit)
        self.publisher = Publisher(self.broker, self.rules, self.metrics)
        self.members = Members(self.broker, self.describe, config.node.info_interval_s)
        self.readiness = Readiness(self.broker, config.broker.lost_max_s, self.stopping)
        self.api = Api(
            self.publisher, self.channels, self.broker, self.rules, self.members.nodes, self.metrics
        )
        self.parts = Parts(
            config=config,
            rules=self.rules,
            channels=self.channels,
            hub=self.hub,
            publisher=self.publisher,
            sessions=self.sessions,
            timers=self.timers,
            metrics=self.metrics,
            writers=Writers(config.client.queue_max_size, background),
            origins=OriginCheck(config.client.allowed_origins),
            accepting=lambda: not self.stopping.is_set(),
            version=VERSION,
        )
        self.door, self._hand_over = self._open_door()
        self._observe(missing_lines or MissingLines())

    def describe(self) -> NodeInfo:
        """What this node tells the others of itself."""
        return NodeInfo(
            uid=self._uid,
            name=self.name,
            version=VERSION,
            num_clients=len(self.sessions),
            num_users=self.sessions.users,
            num_channels=self.hub.channels,
            num_subs=self.metrics.subscriptions,
            uptime=int(time.monotonic() - self._started_at),
        )

    async def run(self, on_ready: Callable[[str, int], None] | None) -> None:
        """Serve until `stopping` is set and everybody has gone or the deadline has passed.

        Args:
            on_ready: called with address and port, once, when clients can be served.

        Raises:
            DoorError: the port cannot be opened.
        """
        async with trio.open_nursery() as serving:
            # The port first: a taken one is said before anything else begins.
            addresses = await serving.start(self.door.serve)
            await self._background.start(self.broker.run, self.channels)
            await self._background.start(self.channels.run)
            for task in (self.hub.run, self.timers.run, self.members.run):
                self._background.start_soon(task)
            self._background.start_soon(watch_loop_lag, self.metrics)
            self._background.start_soon(self._announce, addresses[0], on_ready)
            await self.stopping.wait()
            serving.cancel_scope.deadline = (
                trio.current_time() + self._config.shutdown.timeout - _STOP_MARGIN_S
            )
            self.door.stop()
            await self._close_sessions()
            await self._hand_over.stop()
        await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        """Tell the other nodes, and see to it that what was published last gets out."""
        self.members.leave()
        with trio.move_on_after(_STOP_MARGIN_S):
            try:
                await self.broker.flush()
            except BrokerUnavailable as error:
                log.warning("the broker does not hear the goodbye", reason=str(error))

    async def _announce(self, address: tuple[str, int], on_ready: Callable[[str, int], None] | None) -> None:
        """Say once that clients can be served; say now and then why they cannot."""
        waited = 0
        while reason := self.readiness.refusal():
            if waited % 50 == 10:
                log.warning("not ready yet", reason=reason)
            waited += 1
            await trio.sleep(0.1)
        log.info("node ready", address=address[0], port=address[1], version=VERSION)
        if on_ready is not None:
            on_ready(*address)

    async def _close_sessions(self) -> None:
        """Write what is queued, then tell every client.

        Other nodes go on publishing, so where there is much to write the end of it may never come.
        """
        with trio.move_on_after(self._config.shutdown.timeout * _WRITING_SHARE) as writing:
            while not self.hub.idle:
                await trio.lowlevel.checkpoint()
        if writing.cancelled_caught:
            log.warning("not everything was written before the goodbye")
        log.info("closing sessions", sessions=len(self.sessions))
        await self.sessions.close_all(SHUTDOWN)

    def _open_door(self) -> tuple[Door, HandOver]:
        """The port: what it serves itself, and hypercorn for everything else; all of it answers there too."""
        config, metrics = self._config, self.metrics
        streams = {path: partial(sse.serve, parts=self.parts) for path in sse.PATHS}
        websockets = {path: partial(websocket.serve, parts=self.parts) for path in websocket.PATHS}
        api = HttpApi(JsonApi(self.api), ApiKeyCheck(config.http_api), config.http_api, metrics)
        demo = demo_page(config.demo.peers) if config.demo.enabled else None
        app = AsgiApp(
            endpoints(metrics, self.readiness.refusal, demo, self.readiness.caution),
            api,
            streams,
            websockets,
            config.http_api,
            config.uni_sse,
            self.timers,
            metrics,
        )
        hand_over = HandOver(app, config, metrics)
        routes: dict[str, Handler] = {**streams, **websockets, PATH: api.serve, PREFIX: api.serve}
        return Door(config.http_server, routes, hand_over.serve, self.timers, metrics), hand_over

    def _broker_counter(self, name: str) -> int:
        return self.broker.counters().get(name, 0)

    def _observe(self, missing_lines: MissingLines) -> None:
        """Let the metrics read what the parts count for themselves."""
        observe = self.metrics.observe
        observe("channels", lambda: self.hub.channels)
        observe("users", lambda: self.sessions.users)
        observe("broker_connected", lambda: int(self.broker.connected))
        observe("broker_disconnected_seconds", lambda: self.broker.disconnected_for_s)
        for name, text in BROKER_COUNTERS.items():
            observe(name, partial(self._broker_counter, name), text, counter=True)
        observe("tail_publications", lambda: self.channels.tail_publications)
        observe("tail_bytes", lambda: self.channels.tail_bytes)
        observe("undecodable_announcements", lambda: self.members.undecodable, counter=True)
        observe("log_lines_lost", lambda: missing_lines.lost, counter=True)
        observe("log_lines_suppressed", lambda: missing_lines.suppressed, counter=True)
        observe("broker_outbox_bytes", lambda: self.broker.outbox_bytes)
        observe("broker_stores_unusable", lambda: len(self.broker.unusable()))
        observe("ready", lambda: int(not self.readiness.refusal()))


def _broker(config: Config, name: str) -> Broker:
    namespaces = Namespaces.of(config.channel)
    if config.broker.type == "memory":
        return MemoryBroker(MemoryStore(namespaces, random.Random()))  # noqa: S311 - an epoch is no secret
    return NatsBroker(config.broker.nats, namespaces, name=name)


def open_channels(
    config: Config, broker: Broker, hub: Hub, rules: ChannelRules, metrics: Metrics
) -> Channels:
    """The channels of a node, as its configuration wants them."""
    return Channels(
        broker,
        hub,
        lambda channel: rules.resolve(channel).options,
        config.history,
        namespace_of=lambda channel: rules.resolve(channel).namespace,
        recovery_limit=config.client.recovery_max_publication_limit,
        lost_max_s=config.broker.lost_max_s,
        meta_ttl_s=config.channel.history_meta_ttl,
        metrics=metrics,
    )
