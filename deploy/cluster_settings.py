"""What a cluster on this machine is made of, and where its words go. Plain data."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

# `-P`: a folder named `node` where `up` was called must not be imported in place of ours.
PROGRAM = (sys.executable, "-P", "-m", "deploy.cli")
NODE_COMMAND = (*PROGRAM, "node")
COORDINATOR_COMMAND = (*PROGRAM, "coordinator")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the cluster is made of.

    Attributes:
        nodes: how many that serve HTTP.
        http_port: of the first node, the next ones follow; 0 gives each any free port.
        grpc_nodes: how many that serve gRPC.
        grpc_port: of the first of those, the next ones follow; 0 gives each any free port.
        config: file of every node and of the coordinator.
        scheme: of the nodes' HTTP ports: "http", or "https" where the configuration has TLS on.
        coordinator_scheme: the same of the coordinator's HTTP port.
        coordinator_port: HTTP port of the coordinator, the next one is its gRPC port; 0 gives it any free
            ones, None starts none.
        nats_url: servers to use; "" starts one.
        consul_url: agent of the catalog; "" keeps the catalog in NATS.
        nats_port: of the first server that is started, the next ones follow; 0 for any free ones.
        nats_servers: how many are started; with three, streams have three copies.
        data: directory JetStream keeps its streams in; None for a temporary one.
        ready_file: where the cluster is described when it is ready, None for nowhere.
        keep_going: whether the others go on when a process dies.
        node_stop_max_s: how long the nodes may take to stop, seconds.
        node_command: the program of a node and its first arguments.
        coordinator_command: the same of a coordinator.
    """

    nodes: int
    http_port: int
    config: Path
    grpc_nodes: int = 0
    grpc_port: int = 0
    scheme: str = "http"
    coordinator_scheme: str = "http"
    coordinator_port: int | None = None
    nats_url: str = ""
    consul_url: str = ""
    nats_port: int = 0
    nats_servers: int = 1
    data: Path | None = None
    ready_file: Path | None = None
    keep_going: bool = False
    node_stop_max_s: float = 30
    node_command: Sequence[str] = NODE_COMMAND
    coordinator_command: Sequence[str] = COORDINATOR_COMMAND


@dataclass(frozen=True, slots=True)
class Output:
    """Where the cluster's words go.

    Attributes:
        child: a line of a process, by its name.
        event: something to know: a death, a stop.
        ready: the cluster's description, once.
    """

    child: Callable[[str, str], None]
    event: Callable[[str], None]
    ready: Callable[[dict[str, Any]], None]


class NatsPorts(NamedTuple):
    """Where a NATS server listens.

    Attributes:
        client: for clients.
        route: for the other servers, if there are any.
    """

    client: int
    route: int


class Ports(NamedTuple):
    """Where the cluster listens.

    Attributes:
        nats: of the servers that are started.
        http: of the nodes that serve HTTP.
        grpc: of the nodes that serve gRPC: that port, and the HTTP port of their probes.
        coordinator: its HTTP port and its gRPC port; None if there is no coordinator.
    """

    nats: list[NatsPorts]
    http: list[int]
    coordinator: tuple[int, int] | None
    grpc: tuple[tuple[int, int], ...] = ()


def node_name(index: int) -> str:
    """The name of the node with this index, from 0."""
    return f"node-{index + 1}"


def grpc_node_name(index: int) -> str:
    """The name of the gRPC node with this index, from 0."""
    return f"grpc-{index + 1}"
