"""What a workload process is told: its part at the start, commands later; and what it answers. Plain data."""

from typing import Literal

import msgspec

from chaos.generator import Workload


class NodeAddress(msgspec.Struct, frozen=True):
    """A node as clients reach it; see publisher.Address.

    Attributes:
        serves: who is served there: gRPC clients, or all others and publishers.
    """

    name: str
    host: str
    port: int
    serves: Literal["http", "grpc"] = "http"


class Spec(msgspec.Struct, frozen=True):
    """The first line of a process's standard input.

    Attributes:
        name: of the process: `workload-1`.
        history: file it writes.
        workload: decides everything.
        nodes: where clients and publishers go; the workload's numbers are places among those that serve
            them.
        api_key: of the nodes' server API.
        silence_max_s: see subscriber.Part.
    """

    name: str
    history: str
    workload: Workload
    nodes: tuple[NodeAddress, ...]
    api_key: str = ""
    silence_max_s: float = 35.0


class Command(msgspec.Struct, frozen=True):
    """A later line.

    Attributes:
        do: connect (all clients, over `seconds`); publish (what the workload says, and let clients move);
            pause (no more of that; what is under way ends); slow (clients whose role is slow connect, and
            read slowly); hasten (they read like others); drop (break a `share` of the connections);
            nodes (these from now on); final (wait `seconds` at most until every client has caught up,
            and write so); leave (all clients).
        seconds: see `do`.
        share: see `do`.
        nodes: see `do`.
    """

    do: Literal["connect", "publish", "pause", "slow", "hasten", "drop", "nodes", "final", "leave"]
    seconds: float = 0.0
    share: float = 0.0
    nodes: tuple[NodeAddress, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """What a process says of itself, a line each time.

    Attributes:
        clients: how many want to be connected.
        live: how many of them are subscribed to all their channels.
        deliveries: how many came.
        accepted: publications.
        sessions: how often clients were welcomed.
        behind: clients that lack an accepted publication.
        lag_s: the longest since the last status that its own event loop was late.
        cpu: share of a core since the last status.
        idle: no publication is under way and none will be begun.
        done: what was finished last: final or leave.
        delay_s: the longest from sending a publication to one of its deliveries, of the last seconds.
    """

    clients: int
    live: int
    deliveries: int
    accepted: int
    sessions: int
    behind: int
    lag_s: float
    cpu: float
    idle: bool
    done: str = ""
    delay_s: float = 0.0
