"""What a node says of itself in the catalog: made anew each time, from what the parts count anyway."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from node import open_files
from node.broker.interface import Broker
from node.config.options import Config
from node.connect_cost import ConnectCost
from node.drain import Drain
from node.outage import Outage
from node.session import Parts
from protos.catalog_pb2 import Address, NodeReport

# Rates over less than this are noise: a report in between repeats the ones before.
_INTERVAL_MIN_S = 0.5
# The share of its core a node lets new sessions take, where no limit is configured.
_CONNECT_SHARE = 0.5
# Descriptors that are no client's: what is kept from them, and listeners, the broker, connections of the API.
_OTHER_FILES = 2 * open_files.RESERVED
# One loop on one core: with more sessions a publication to all takes over a third of a second. A limit of
# open files beyond that says nothing about room.
_CAPACITY_MAX = 50_000
# Named as in metrics and logs: "sse" is the plain form, whatever SDKs call their own.
_PATHS = {
    "websocket": "/connection/websocket",
    "http_stream": "/connection/http_stream",
    "sse_emulation": "/connection/sse",
    "uni_websocket": "/connection/uni_websocket",
    "uni_http_stream": "/connection/uni_http_stream",
    "uni_sse": "/connection/uni_sse",
    "ws": "/ws",
    "sse": "/sse",
    "http": "",
}
_WEBSOCKETS = ("websocket", "uni_websocket", "ws")


@dataclass(frozen=True, slots=True)
class Identity:
    """What never changes while the process runs.

    Attributes:
        name: of the node.
        instance: of the process.
        version: of the program.
        url: its HTTP port as clients reach it.
        grpc: the same of its gRPC port, host:port; "" for none.
    """

    name: str
    instance: str
    version: str
    url: str
    grpc: str = ""


@dataclass(slots=True)
class _Totals:
    """Counters as they were at some moment."""

    at: float
    cpu_s: float
    connects: int
    publications: int
    bytes_out: int
    lag_s: float
    lag_count: int


@dataclass(slots=True)
class _Rates:
    """What happened per second, lately."""

    cpu: float = 0.0
    connects: float = 0.0
    publications: float = 0.0
    bytes_out: float = 0.0
    lag_s: float = 0.0


class Reporter:
    """Makes the node's reports.

    Args:
        identity: of the node.
        parts: whose numbers they are.
        drain: whether it leaves.
        broker: how long it has been away.
        outage: what the others are told of that; it is kept up to date by this.
        not_ready: why no client should come, "" if they should.
    """

    def __init__(
        self,
        identity: Identity,
        parts: Parts,
        drain: Drain,
        broker: Broker,
        outage: Outage,
        not_ready: Callable[[], str],
    ) -> None:
        self._identity = identity
        self._addresses = (
            [Address(transport="grpc", url=identity.grpc)]
            if identity.grpc
            else addresses(identity.url, parts.config)
        )
        self._connect_rate_limit = parts.config.client.connection_rate_limit
        self._capacity = capacity(parts.config)
        self._metrics = parts.metrics
        self._sessions = parts.sessions
        self._hub = parts.hub
        self._drain = drain
        self._broker = broker
        self._outage = outage
        self._not_ready = not_ready
        self._cost = ConnectCost()
        self._number = 0
        self._totals = self._count()
        self._started_at = self._totals.at
        self._rates = _Rates()

    def report(self, now: float) -> NodeReport:
        """How things are.

        Args:
            now: on the drain's clock, seconds.
        """
        self._measure()
        lost_s = self._broker.disconnected_for_s
        self._outage.observe(lost_s, now)
        self._number += 1
        drain, rates, reason = self._drain, self._rates, self._not_ready()
        state = NodeReport.NOT_READY if reason else NodeReport.SERVING
        return NodeReport(
            name=self._identity.name,
            instance=self._identity.instance,
            number=self._number,
            version=self._identity.version,
            state=NodeReport.LEAVING if drain.leaves else state,
            reason=reason,
            addresses=self._addresses,
            connections=len(self._sessions),
            capacity=self._capacity,
            subscriptions=self._metrics.subscriptions,
            channels=self._hub.channels,
            connect_rate_max=self._connect_rate_max(),
            connect_rate=rates.connects,
            connect_cost_s=self._cost.seconds,
            cpu=min(1.0, rates.cpu),
            loop_lag_s=rates.lag_s,
            memory_bytes=_resident_bytes(),
            publications_per_s=rates.publications,
            bytes_out_per_s=rates.bytes_out,
            uptime_s=time.monotonic() - self._started_at,
            leaving=drain.leaving(now),
            moving=drain.moving(),
            fence=drain.fence,
            orders_refused=drain.refused["fence"],
            broker_lost_s=lost_s,
            broker_outage=self._outage.number if self._outage.lasts else 0,
        )

    def _connect_rate_max(self) -> float:
        if self._connect_rate_limit:
            return float(self._connect_rate_limit)
        return _CONNECT_SHARE / self._cost.seconds if self._cost.seconds else 0.0

    def _measure(self) -> None:
        before, now = self._totals, self._count()
        elapsed_s = now.at - before.at
        if elapsed_s < _INTERVAL_MIN_S:
            return
        self._totals = now
        self._rates = rates = _Rates(
            cpu=(now.cpu_s - before.cpu_s) / elapsed_s,
            connects=(now.connects - before.connects) / elapsed_s,
            publications=(now.publications - before.publications) / elapsed_s,
            bytes_out=(now.bytes_out - before.bytes_out) / elapsed_s,
            lag_s=(now.lag_s - before.lag_s) / max(1, now.lag_count - before.lag_count),
        )
        self._cost.add(rates.connects, rates.bytes_out, rates.cpu)

    def _count(self) -> _Totals:
        metrics = self._metrics
        return _Totals(
            at=time.monotonic(),
            cpu_s=time.process_time(),
            connects=sum(metrics.connections_opened.values()),
            publications=metrics.publications_out["live"],
            bytes_out=metrics.bytes_out,
            lag_s=metrics.loop_lag.sum_s,
            lag_count=sum(metrics.loop_lag.counts),
        )


def addresses(url: str, config: Config) -> list[Address]:
    """Where each transport of a node is reached.

    Args:
        url: of its HTTP port, http:// or https://.
        config: what is switched off there has no address.
    """
    switches = {
        "http_stream": config.http_stream.enabled,
        "sse_emulation": config.sse.enabled,
        "uni_websocket": config.uni_websocket.enabled,
        "uni_http_stream": config.uni_http_stream.enabled,
    }
    parts = urlsplit(url.rstrip("/"))
    web_socket = parts._replace(scheme="wss" if parts.scheme == "https" else "ws").geturl()
    return [
        Address(transport=name, url=(web_socket if name in _WEBSOCKETS else parts.geturl()) + path)
        for name, path in _PATHS.items()
        if switches.get(name, True)
    ]


def capacity(config: Config) -> int:
    """How many sessions a node can hold, as far as anybody knows."""
    fitting = min(max(1, open_files.limit() - _OTHER_FILES), _CAPACITY_MAX)
    return config.node.capacity or config.client.connection_limit or fitting


def _resident_bytes() -> int:
    """Resident memory now; 0 where the system does not say (proc(5), /proc/pid/statm)."""
    try:
        with Path("/proc/self/statm").open("rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
