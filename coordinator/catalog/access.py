"""What it takes to reach a catalog: addresses, names and logins. Plain data, filled from the configuration.

The names are those of the options `broker.nats` and `catalog.consul`, so that one converts to the other.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; empty: the system's authorities, and no certificate of our own."""

    enabled: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class NatsAccess:
    """The NATS servers; see the options of `broker.nats`."""

    url: str = "nats://127.0.0.1:4222"
    prefix: str = "broadcast"
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    credentials_file: str = ""
    nkey_seed_file: str = ""
    tls: TlsFiles = TlsFiles()
    connect_deadline_s: float = 2.0
    request_deadline_s: float = 3.0
    stream_replicas: int = 1


@dataclass(frozen=True, slots=True)
class ConsulAccess:
    """The Consul agent; see the options of `catalog.consul`."""

    url: str = "http://127.0.0.1:8500"
    token: str = field(default="", repr=False)
    datacenter: str = ""
    service: str = "broadcast-node"
    prefix: str = "broadcast"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
