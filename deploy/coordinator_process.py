"""One coordinator: its parts, built and wired, on the same kind of door that a node has.

The coordinator's own modules know no configuration file and no door; a node's know no coordinator. Here
they meet.
"""

import gc
import random
import signal
import socket
from collections.abc import Callable
from functools import partial
from importlib.metadata import version as distribution_version
from typing import Any

import msgspec
import structlog
import trio

from coordinator.access import TokenCheck
from coordinator.catalog.access import ConsulAccess, NatsAccess, TlsFiles
from coordinator.catalog.consul import ConsulCatalog
from coordinator.catalog.interface import Catalog
from coordinator.catalog.nats_kv import NatsCatalog
from coordinator.control import Control, ControlSettings
from coordinator.discover import Discovery
from coordinator.grpc_api import GrpcApi
from coordinator.grpc_tls import GrpcTls
from coordinator.http_api import HttpApi
from coordinator.mirror import Mirror
from coordinator.placement import Placement
from coordinator.service import Service
from coordinator.settings import PlanSettings, RebalanceSettings
from coordinator.telemetry import Telemetry
from deploy.errors import UserError
from node.config.options import Config, Http3Options
from node.door.connection import Connection, address_text, connection_header
from node.door.door import Door
from node.door.handover import HandOver
from node.door.head import Head
from node.door.listeners import DoorError
from node.door.response import response
from node.telemetry.logs import configure_logging
from node.timers import Timers
from protos.catalog_pb2 import NodeReport, Plan

VERSION = distribution_version("broadcast-cluster")
_STOP_MAX_S = 3.0
# How long after a node has left rotation a load balancer still sends clients to it, as plans reckon.
_BALANCER_LAG_S = 3.0
_GC_THRESHOLDS = (50_000, 50, 1000)

log = structlog.get_logger(__name__)

Ready = Callable[[str, int, int], None]


def main(config: Config, on_ready: Ready | None = None) -> int:
    """Run one coordinator until SIGTERM or SIGINT; returns the exit status.

    Args:
        config: checked by `load`.
        on_ready: called with address, port and gRPC port, once, when requests are taken.

    Raises:
        DoorError: the HTTP port cannot be opened, or the certificate cannot be used.
        GrpcError: the gRPC port cannot be opened.
        UserError: there is no catalog to speak of.
    """
    name = coordinator_name(config)
    catalog = open_catalog(config, name)
    configure_logging(config.log, node=name)
    # As in a node: what exists now lives as long as the process, and the collector need not look at it again.
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.freeze()
    trio.run(serve, config, name, catalog, on_ready)
    return 0


def coordinator_name(config: Config) -> str:
    """What a coordinator is called: unique on its machine."""
    return config.coordinator.name or f"{socket.gethostname()}-{config.coordinator.port}"


def open_catalog(config: Config, name: str) -> Catalog:
    """The catalog that the configuration names.

    Raises:
        UserError: it names none.
    """
    catalog = config.catalog
    leader_ttl_s = config.coordinator.leader_ttl_s
    if catalog.type == "consul":
        consul = _converted(catalog.consul, ConsulAccess)
        return ConsulCatalog(consul, ttl_s=catalog.ttl_s, leader_ttl_s=leader_ttl_s)
    if catalog.type == "nats" and config.broker.type == "nats":
        nats = _converted(config.broker.nats, NatsAccess)
        return NatsCatalog(nats, name=name, ttl_s=catalog.ttl_s, leader_ttl_s=leader_ttl_s)
    raise UserError(
        "a coordinator needs a catalog: set catalog.type to nats (with broker.type nats) or consul"
    )


def plan_settings(config: Config) -> PlanSettings:
    """What plans reckon with."""
    rebalance, drain = config.coordinator.rebalance, config.drain
    return PlanSettings(
        ttl_s=config.catalog.ttl_s,
        connect_share=config.coordinator.connect_share,
        settle_s=min(drain.arrivals_quiet_s + _BALANCER_LAG_S, drain.arrivals_wait_max_s),
        rebalance=RebalanceSettings(
            automatic=rebalance.automatic,
            interval_s=rebalance.interval_s,
            threshold_sessions=rebalance.threshold_sessions,
            threshold_relative=rebalance.threshold_relative,
            age_min_s=rebalance.age_min_s,
        ),
    )


async def serve(config: Config, name: str, catalog: Catalog, on_ready: Ready | None = None) -> None:
    """Serve until told to stop by a signal; cancellation ends everything at once."""
    if config.coordinator.insecure:
        log.warning("insecure: everybody who reaches the coordinator's ports may drain nodes")
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as background:
            process = CoordinatorProcess(config, name, catalog)
            await process.start(background, on_ready)
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                break
            await process.stop()
            background.cancel_scope.cancel()
    log.info("coordinator stopped")


class CoordinatorProcess:
    """The parts of one coordinator.

    Args:
        config: checked by `load`.
        name: see `coordinator_name`.
        catalog: not running yet.
    """

    def __init__(self, config: Config, name: str, catalog: Catalog) -> None:
        self._config = config
        self._name = name
        self._catalog = catalog
        options = config.coordinator
        settings = plan_settings(config)
        self._telemetry = Telemetry(version=VERSION, name=name)
        self._mirror = Mirror(catalog, config.catalog.ttl_s, config.catalog.ttl_s)
        self._service = Service(catalog, self._mirror, settings, self._telemetry)
        self._token = TokenCheck(options.token, insecure=options.insecure)
        self._discovery = Discovery(
            self._mirror,
            Placement(settings),
            options.discover_origins,
            self._telemetry,
            random.Random(),  # noqa: S311 - which node a client is sent to is no secret
        )
        self._plan_settings = settings
        self._timers = Timers()
        self._app = HttpApi(self._service, self._discovery, self._token, self._telemetry)
        self._door, self._hand_over = self._open_door()
        self._grpc_tls = self._open_grpc_tls()
        self._leading = trio.CancelScope()
        self._led = trio.Event()
        self._door_done = trio.Event()

    async def start(self, nursery: trio.Nursery, on_ready: Ready | None) -> None:
        """Open the ports, and begin to follow the catalog and to lead.

        Args:
            nursery: to be cancelled after `stop`.
            on_ready: see `main`.
        """
        options = self._config.coordinator
        scheme = "https" if options.tls.enabled else "http"
        host, port = (await nursery.start(self._serve_door))[0]
        grpc = GrpcApi(self._service, self._token, options.address, options.grpc_port, self._grpc_tls)
        grpc_port = await nursery.start(grpc.run)
        await nursery.start(self._catalog.run)
        control = Control(
            self._catalog,
            self._mirror,
            ControlSettings(
                name=self._name,
                url=options.public_url or f"{scheme}://{address_text(socket.gethostname(), port)}",
                leader_ttl_s=options.leader_ttl_s,
                tick_s=options.tick_s,
                plans_kept=options.plans_kept,
            ),
            self._plan_settings,
            self._telemetry,
        )
        self._observe(control)
        for task in (self._mirror.run, self._timers.run, self._telemetry.watch_loop_lag):
            nursery.start_soon(task)
        nursery.start_soon(self._control, control)
        nursery.start_soon(self._announce, host, port, grpc_port, on_ready)

    async def stop(self) -> None:
        """Stop leading, so that another one can; take no further request, end those that are under way."""
        self._door.stop()
        self._app.stop()
        self._leading.cancel()
        with trio.move_on_after(_STOP_MAX_S):
            await self._led.wait()
            await self._hand_over.stop()
            await self._door_done.wait()

    async def _control(self, control: Control) -> None:
        with self._leading:
            await control.run()
        self._led.set()

    async def _serve_door(self, *, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        await self._door.serve(task_status=task_status)
        self._door_done.set()

    async def _announce(self, host: str, port: int, grpc_port: int, on_ready: Ready | None) -> None:
        """Say once that the catalog is there and requests can be answered."""
        while not self._mirror.usable:
            await self._mirror.wait(self._mirror.revision, 1.0)
        log.info("coordinator ready", address=host, port=port, grpc_port=grpc_port, version=VERSION)
        if on_ready is not None:
            on_ready(host, port, grpc_port)

    def _open_door(self) -> tuple[Door, HandOver]:
        """The port: `/discover` on the door itself, since every client asks it; hypercorn for the rest."""
        options = self._config.coordinator
        config = msgspec.structs.replace(
            self._config,
            http_server=msgspec.structs.replace(
                self._config.http_server,
                address=options.address,
                port=options.port,
                reuse_port=False,
                # The nodes' certificate is not for this port, and their QUIC neither.
                tls=options.tls,
                http3=Http3Options(),
            ),
        )
        hand_over = HandOver(self._app, config, self._telemetry)
        routes = {"/discover": self._discover}
        door = Door(
            config.http_server, routes, hand_over.serve, self._timers, self._telemetry, section="coordinator"
        )
        return door, hand_over

    def _open_grpc_tls(self) -> GrpcTls | None:
        """The same certificate for the other port: read again whenever the door reads it again."""
        options = self._config.coordinator.tls
        if self._door.tls is None:
            return None
        tls = GrpcTls(options.cert_pem, options.key_pem, options.client_ca_pem)

        def load() -> None:
            try:
                tls.load()
            except OSError as error:
                raise DoorError(f"coordinator.tls: {error.filename}: {error.strerror}") from error

        self._door.tls.loaders.append(load)
        return tls

    async def _discover(self, connection: Connection, head: Head) -> bool:
        """See `node.door.door.Handler`."""
        if head.method != "GET" or head.content_length:
            return await self._hand_over.serve(connection, head)
        answer = self._discovery.answer(head.query("transport"), head.header("origin"))
        keep_alive = connection.keeps_alive(head)
        data = response(
            answer.status,
            answer.body,
            content_type=answer.content_type,
            fields="".join(f"{name}: {value}\r\n" for name, value in answer.fields),
            connection=connection_header(head, keep_alive=keep_alive),
        )
        return await connection.send_answer(data, keep_alive=keep_alive, heard_all=not head.keep_alive)

    def _observe(self, control: Control) -> None:
        """Let the metrics read what the parts know."""
        mirror, observe = self._mirror, self._telemetry.observe
        observe("leading", lambda: int(control.fence is not None), "Whether this coordinator leads.")
        observe("fence", lambda: control.fence or 0, "Of this coordinator's term, 0 while another leads.")
        observe("catalog_silent_seconds", lambda: mirror.contact_s, "Since the catalog last answered.")
        observe("usable", lambda: int(mirror.usable), "Whether requests are answered: the catalog is there.")
        self._telemetry.observe_by("nodes", "state", partial(_nodes_by_state, mirror), "Living nodes.")
        observe(
            "nodes_cut_off",
            lambda: sum(bool(report.broker_outage) for report in mirror.living()),
            "Living nodes that are cut off from NATS.",
        )
        self._telemetry.observe_by(
            "plans", "state", partial(_plans_by_state, mirror), "Plans of the catalog."
        )


def _nodes_by_state(mirror: Mirror) -> dict[str, float]:
    counts = {name.lower(): 0.0 for name, value in NodeReport.State.items() if value}
    for report in mirror.living():
        counts[NodeReport.State.Name(report.state).lower()] += 1
    return counts


def _plans_by_state(mirror: Mirror) -> dict[str, float]:
    counts = {name.lower(): 0.0 for name, value in Plan.State.items() if value}
    for plan in mirror.all_plans():
        counts[Plan.State.Name(plan.state).lower()] += 1
    return counts


def _converted(options: msgspec.Struct, into: type[Any]) -> Any:
    """Options as the plain data of the catalogs, whose fields have the same names."""
    known = {name: getattr(options, name) for name in into.__dataclass_fields__ if hasattr(options, name)}
    if "tls" in known:
        known["tls"] = _converted(known["tls"], TlsFiles)
    return into(**known)
