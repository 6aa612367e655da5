"""The settings of the catalog and of the coordinator: what the processes of a cluster have in common.

Part of the one `Config` in `options`, and as plain as that.
"""

from typing import Literal

from msgspec import Struct, field

from node.config.durations import Duration
from node.config.tls import ServerTlsOptions


class ConsulOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`catalog.consul`: the agent and the names used there."""

    url: str = "http://127.0.0.1:8500"
    token: str = ""
    datacenter: str = ""
    # Nodes register as this service; keys live below the prefix.
    service: str = "broadcast-node"
    prefix: str = "broadcast"
    # PEM files; empty: the system's authorities, and no certificate of our own.
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class CatalogOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`catalog`: where nodes and coordinators find each other."""

    # "nats": a key-value bucket on the servers of broker.nats; a node whose broker is "memory" has none.
    type: Literal["nats", "consul", "none"] = "nats"
    # How often a node reports, and how long a silent one is still taken for alive; interval < ttl.
    report_interval_s: Duration = Duration(1)
    ttl_s: Duration = Duration(5)
    consul: ConsulOptions = field(default_factory=ConsulOptions)


class RebalanceOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`coordinator.rebalance`: when the load is uneven, and how it is evened out."""

    # Start by itself when a node is out of the band; otherwise only when asked.
    automatic: bool = False
    interval_s: Duration = Duration(60)
    # A node is too full when it is above the mean by more than both.
    threshold_sessions: int = 100
    threshold_relative: float = 0.1
    # Sessions younger than this are not moved: so a client moves at most once in this time.
    age_min_s: Duration = Duration(300)


class CoordinatorOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`coordinator`: the process that paces drains and answers `/discover`."""

    # Empty: host name and port.
    name: str = ""
    # Empty: all interfaces. Port 0: any free one.
    address: str = ""
    port: int = 7000
    grpc_port: int = 7001
    # For both ports.
    tls: ServerTlsOptions = field(default_factory=ServerTlsOptions)
    # Its HTTP port as people reach it; empty: http:// or https://, the host's name and the port.
    public_url: str = ""
    # What control calls carry as `Authorization: Bearer TOKEN`; empty and not insecure: all are refused.
    token: str = ""
    insecure: bool = False
    # Origins of pages that may ask `/discover`; `*` for all.
    discover_origins: tuple[str, ...] = ("*",)
    # A leader that was not heard of for so long is replaced; it renews three times in it.
    leader_ttl_s: Duration = Duration(5)
    # How often plans are carried on.
    tick_s: Duration = Duration(0.5)
    # Of what the receiving nodes can take per second, the share that plans use; the rest is for others.
    connect_share: float = 0.7
    # Ended plans that are kept to be looked at.
    plans_kept: int = 50
    rebalance: RebalanceOptions = field(default_factory=RebalanceOptions)
