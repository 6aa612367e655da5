"""Composition root: builds a node's parts, owns its nurseries and the order in which it stops.

Started first and stopped last is what clients depend on: the broker, then the hub and the timers, then the
door. Stopping goes the other way: the node leaves rotation with its port open, every client is sent away
after everything queued for it, the port closes, and only then the parts end.
"""

import gc
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version as distribution_version
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
import trio

from node import open_files
from node.access.channels import ChannelRules
from node.access.origins import OriginCheck
from node.api.methods import Api
from node.api.publisher import Publisher
from node.arrivals import Arrivals
from node.broker.interface import Broker, BrokerUnavailable
from node.config.cautions import warnings
from node.config.options import Config
from node.drain import Drain
from node.emulation import Emulation
from node.entrance import Opener, open_entrance
from node.history.channels import Channels
from node.hub import Hub
from node.leaving import Leaving
from node.links import open_broker, open_catalog
from node.members import Members, NodeInfo
from node.observed import observe_parts
from node.outage import Outage
from node.outbox import Writers
from node.protocol.reasons import INSUFFICIENT_STATE, MOVED, SHUTDOWN, DisconnectReason
from node.readiness import Readiness
from node.report import Identity, Reporter
from node.session import Parts
from node.sessions import Sessions
from node.telemetry.logs import MissingLines, configure_logging
from node.telemetry.metrics import Metrics, watch_loop_lag
from node.timers import Timers

VERSION = distribution_version("broadcast-cluster")
# Of the time to stop, what is kept for the parts behind the door: telling the broker goodbye.
_STOP_MARGIN_S = 1.0
# Of the time to stop, at most how much the last clients sent away have for their goodbye.
_GOODBYE_SHARE = 0.25
# Objects made before the collector looks at the young ones: a connect makes hundreds that all live long.
_GC_THRESHOLDS = (50_000, 50, 1000)

log = structlog.get_logger(__name__)


# Called with address, HTTP port, and gRPC port, 0 for none.
Ready = Callable[[str, int, int], None]


def main(config: Config, on_ready: Ready | None = None, *, grpc: bool = False) -> int:
    """Run one node until SIGTERM or SIGINT; returns the exit status.

    Args:
        config: checked by `load`.
        on_ready: called once, when clients can be served.
        grpc: serve clients over gRPC and not over HTTP.

    Raises:
        DoorError: the port cannot be opened.
        GrpcError: the same of the gRPC port.
    """
    missing_lines = configure_logging(config.log, node=node_name(config))
    open_files.raise_limit()
    # What exists now lives as long as the process: the collector need not look at it again.
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.freeze()
    if grpc:
        # Imported by whom it serves: 20 MB, and threads of its own.
        from node.grpc.entrance import open_grpc_entrance
        from node.grpc.loop import run

        run(serve, config, on_ready, missing_lines, open_grpc_entrance)
    else:
        trio.run(serve, config, on_ready, missing_lines)
    return 0


def node_name(config: Config) -> str:
    """What a node is called in logs, metrics and `info`: unique on its machine."""
    return config.node.name or f"{socket.gethostname()}-{config.http_server.port or os.getpid()}"


async def serve(
    config: Config,
    on_ready: Ready | None = None,
    missing_lines: MissingLines | None = None,
    opener: Opener = open_entrance,
) -> None:
    """Serve until told to stop by a signal, then stop in order; cancellation ends everything at once.

    Args:
        config: checked by `load`.
        on_ready: called once, when clients can be served.
        missing_lines: the log's, for the metrics.
        opener: makes the way in.
    """
    for warning in warnings(config):
        log.warning(warning)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as background:
            node = Node(config, background, missing_lines, opener)
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
        opener: makes the way in.

    Attributes:
        stopping: set it to leave rotation, send everybody away, and end.
    """

    def __init__(
        self,
        config: Config,
        background: trio.Nursery,
        missing_lines: MissingLines | None = None,
        opener: Opener = open_entrance,
    ) -> None:
        self._config = config
        self._background = background
        self._started_at = time.monotonic()
        self._uid = str(uuid4())
        self.stopping = trio.Event()
        self._reporting = trio.CancelScope()
        self.name = node_name(config)
        self.metrics = Metrics(version=VERSION, node=self.name)
        self.timers = Timers()
        self.hub = Hub(self.metrics)
        self.rules = ChannelRules(config.channel)
        self.broker = open_broker(config, self.name)
        self.channels = open_channels(config, self.broker, self.hub, self.rules, self.metrics)
        self.sessions = Sessions(config.client.connection_limit, config.client.user_connection_limit)
        self.publisher = Publisher(self.broker, self.rules, self.metrics)
        self.members = Members(self.broker, self.describe, config.node.info_interval_s)
        self.drain = Drain(config.drain, self._uid, trio.current_time())
        self.outage = Outage(config.broker.lost_max_s)
        self.leaving = Leaving(
            self.drain,
            self.sessions,
            self.hub,
            self._why_away,
            lambda: self.outage.lasts,
            self._phase_changed,
        )
        self.readiness = Readiness(self.broker, config.broker.lost_max_s, self._why_leaving)
        self.catalog = open_catalog(config, self.broker, self.name)
        self.api = Api(
            self.publisher, self.channels, self.broker, self.rules, self.members.nodes, self.metrics
        )
        rate_limit = config.client.connection_rate_limit
        arrivals = Arrivals(self.sessions, lambda: self.drain.leaves, rate_limit, self.drain.arrived)
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
            emulation=Emulation(self.broker, self._uid),
            refusal=arrivals.refusal,
            version=VERSION,
        )
        self.entrance = opener(self.parts, self.api, self.readiness)
        self.door = self.entrance.door
        observe_parts(
            self.parts,
            broker=self.broker,
            members=self.members,
            missing_lines=missing_lines or MissingLines(),
            readiness=self.readiness,
            drain=self.drain,
            catalog=self.catalog,
        )

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

    async def run(self, on_ready: Ready | None) -> None:
        """Serve until told to end, by `stopping` or an order, and everybody has gone or the time is over.

        Args:
            on_ready: called once, when clients can be served.

        Raises:
            DoorError: the port cannot be opened.
        """
        async with trio.open_nursery() as serving:
            # The port first: a taken one is said before anything else begins.
            addresses = await serving.start(self.entrance.serve)
            await self._background.start(self.broker.run, self.channels)
            await self._background.start(self.channels.run)
            await self.parts.emulation.listen()
            for task in (self.hub.run, self.timers.run, self.members.run, self.leaving.run):
                self._background.start_soon(task)
            self._background.start_soon(self._report, addresses[0][1])
            self._background.start_soon(watch_loop_lag, self.metrics)
            self._background.start_soon(self._announce, addresses[0], on_ready)
            self._background.start_soon(self._leave_when_told, serving.cancel_scope)
            await self.leaving.done.wait()
            self._end_in_time(serving.cancel_scope)
            await self.entrance.stop()
        await self._say_goodbye()

    async def _leave_when_told(self, serving: trio.CancelScope) -> None:
        await self.stopping.wait()
        self._end_in_time(serving)
        options = self._config
        goodbye_s = min(options.client.close_deadline_s, options.shutdown.timeout * _GOODBYE_SHARE)
        self.leaving.stop(max(0.0, options.shutdown.timeout - _STOP_MARGIN_S - goodbye_s))

    def _end_in_time(self, serving: trio.CancelScope) -> None:
        """Whatever is still being served ends by the deadline of the first thing that ended the node."""
        end_at = trio.current_time() + self._config.shutdown.timeout - _STOP_MARGIN_S
        serving.deadline = min(serving.deadline, end_at)

    def _why_away(self, stays: bool) -> DisconnectReason:
        """What a client is told that is sent away; see Leaving."""
        if self.drain.cut_off or self.broker.disconnected_for_s > self._config.broker.lost_max_s:
            return INSUFFICIENT_STATE
        return MOVED if stays else SHUTDOWN

    def _why_leaving(self) -> str:
        """Why new clients are refused, "" if they are not."""
        lost_s = self.broker.disconnected_for_s
        if not self.drain.cut_off:
            return self.drain.reason
        if lost_s:
            return f"cut off from NATS for {lost_s:.0f} s: clients are sent to other nodes"
        return "was cut off from NATS: takes clients again when its connection has lasted"

    def _phase_changed(self) -> None:
        self.entrance.leave(leaving=self.drain.leaves)
        if self.catalog is not None:
            self.catalog.changed()

    async def _report(self, port: int) -> None:
        """Say in the catalog how things are, and hear what is ordered."""
        if self.catalog is None:
            return
        scheme = "https" if self._config.http_server.tls.enabled else "http"
        url = self._config.node.public_url or f"{scheme}://{socket.gethostname()}:{port}"
        grpc_port = self.entrance.grpc_port
        grpc = f"{urlsplit(url).hostname}:{grpc_port}" if grpc_port else ""
        identity = Identity(self.name, self._uid, VERSION, url, grpc)
        reporter = Reporter(
            identity, self.parts, self.drain, self.broker, self.outage, self.readiness.refusal
        )
        with self._reporting:
            await self.catalog.run(lambda: reporter.report(trio.current_time()), self.leaving.obey)

    async def _say_goodbye(self) -> None:
        """Tell the others, and see to it that what was published last gets out."""
        self._reporting.cancel()
        self.members.leave()
        with trio.move_on_after(_STOP_MARGIN_S):
            try:
                await self.broker.flush()
            except BrokerUnavailable as error:
                log.warning("the broker does not hear the goodbye", reason=str(error))
            if self.catalog is not None:
                await self.catalog.leave()

    async def _announce(self, address: tuple[str, int], on_ready: Ready | None) -> None:
        """Say once that clients can be served; say now and then why they cannot."""
        waited = 0
        while reason := self.readiness.refusal():
            if waited % 50 == 10:
                log.warning("not ready yet", reason=reason)
            waited += 1
            await trio.sleep(0.1)
        log.info("node ready", address=address[0], port=address[1], version=VERSION)
        if self.catalog is not None:
            # What was reported before says that nobody should come.
            self.catalog.changed()
        if on_ready is not None:
            on_ready(*address, self.entrance.grpc_port)


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
