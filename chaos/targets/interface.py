"""What a run can do to a cluster: its parts, and the links between them.

A target does as it is told and judges nothing. Everything it did is undone by `heal`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from chaos.history import Sample
from chaos.proxy import Proxy
from chaos.workload.spec import NodeAddress

Kind = Literal["node", "broker", "coordinator", "catalog"]


class Skipped(Exception):
    """Something cannot be done on this target; the message says why."""


class Failed(Exception):
    """The cluster did not do what any operator could expect of it; the message says what."""


class Part(NamedTuple):
    """A process of the cluster.

    Attributes:
        name: `node-1`, `nats`, `coordinator`, `consul`.
        kind: what it is.
        pid: of the process that is, or last was, this part.
        url: where it listens.
        up: whether it runs and is not paused.
        grpc: HOST:PORT where a node of that kind serves gRPC clients, and no others; "" for the rest.
    """

    name: str
    kind: Kind
    pid: int
    url: str
    up: bool
    grpc: str = ""


class Target(Protocol):
    """A cluster under test. Names that are not known raise KeyError.

    Attributes:
        stop_max_s: seconds that a node may take from being asked to stop to its end.
    """

    stop_max_s: float

    @property
    def links(self) -> Mapping[str, Proxy]:
        """Links that go through a proxy: `clients:node-1` and `node-1:nats`."""

    def parts(self, kind: Kind) -> Sequence[Part]:
        """The parts of a kind, in a fixed order."""

    def addresses(self) -> tuple[NodeAddress, ...]:
        """Every node as clients reach it, those that are down included: numbers stay what they were.

        Those that serve gRPC say so.
        """

    async def kill(self, name: str) -> None:
        """End a part as `kill -9` does, and wait until it is gone."""

    async def terminate(self, name: str) -> None:
        """Ask a part to stop in order, and wait until it has.

        Raises:
            Failed: it does not.
        """

    async def pause(self, name: str) -> None:
        """Stop a part where it stands (SIGSTOP): its sockets stay open."""

    async def resume(self, name: str) -> None:
        """Let a paused part go on."""

    async def start(self, name: str) -> None:
        """Start a part that has ended, on the same address, and wait until it is ready.

        Raises:
            Failed: it does not become ready.
        """

    async def add_node(self) -> str:
        """Start one more node; returns its name."""

    async def add_coordinator(self) -> str:
        """Start one more coordinator; returns its name."""

    async def leader(self) -> str:
        """The name of the coordinator that leads, "" if none does."""

    async def operate(self, *arguments: str) -> str:
        """Run a `broadcast` command against the coordinator, as an operator would; returns what it printed.

        Raises:
            Skipped: there is no coordinator.
            Failed: the command did.
        """

    def lost(self) -> Sequence[str]:
        """Parts that have ended although nobody ended them, each once."""

    async def samples(self) -> list[Sample]:
        """What every part uses now."""

    async def heal(self) -> None:
        """Let everything run again and every link be clear."""
