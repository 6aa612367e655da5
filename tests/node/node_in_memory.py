"""A node without a network, for tests of its sessions: real parts over the memory broker, fake transports."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import msgspec
import trio

from node.access.channels import ChannelRules
from node.access.origins import OriginCheck
from node.api.publisher import Publisher
from node.arrivals import Arrivals
from node.broker.memory import MemoryBroker, MemoryStore
from node.broker.namespaces import Namespaces
from node.commands import handle
from node.config.load import load
from node.config.options import Config
from node.emulation import Emulation
from node.hub import Hub
from node.outbox import Outbox, Writers
from node.protocol.messages import Command, Publication, Reply
from node.protocol.reasons import DisconnectReason
from node.serve import open_channels
from node.session import Parts, Session
from node.sessions import Sessions
from node.telemetry.metrics import Metrics
from node.timers import Timers

OPEN: dict[str, Any] = {
    "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True,
    "allow_publish_for_client": True,
    "allow_publish_for_anonymous": True,
    "allow_history_for_client": True,
    "allow_history_for_anonymous": True,
}
HISTORY: dict[str, Any] = {**OPEN, "history_size": 10, "history_ttl": 300, "force_recovery": True}


def config(**overrides: object) -> Config:
    """Everything allowed to everybody; channels in `plain:` keep no history, those in `closed:` are shut."""
    options: dict[str, object] = {
        "client.allow_anonymous_connect_without_token": True,
        **{f"channel.without_namespace.{name}": value for name, value in HISTORY.items()},
        "channel.namespaces": [{"name": "plain", **OPEN}, {"name": "closed"}],
        "broker.type": "memory",
    }
    options |= {name.replace("__", "."): value for name, value in overrides.items()}
    return load(None, {}, options)


class PublicationFraming:
    """Publications as JSON, one per line."""

    def publication(self, channel: str, publication: Publication) -> bytes:
        return channel.encode() + b" " + bytes(publication.data) + b"\n"

    def join(self, frames: Sequence[bytes]) -> bytes:
        return b"".join(frames)


_FRAMING = PublicationFraming()


class FakeOutbox:
    """Hands what is written to its client."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def write(self, data: bytes) -> None:
        self._client.got.extend(data.decode().splitlines())


@dataclass(eq=False)
class Client:
    """A fake transport and what its client got, in order: replies, publications, pings, the goodbye."""

    name: str = "fake"
    unidirectional: bool = False
    native_ping: bool = False
    got: list[Any] = field(default_factory=list)
    framing: PublicationFraming = _FRAMING
    aborted: bool = False

    def __post_init__(self) -> None:
        self.pinged = trio.Event()
        self.outbox: Outbox = FakeOutbox(self)  # type: ignore[assignment]

    def send(self, reply: Reply) -> None:
        self.got.append(reply)

    def ping(self) -> None:
        self.got.append("ping")
        self.pinged.set()

    def close(self, reason: DisconnectReason) -> None:
        self.got.append(reason)

    def abort(self) -> None:
        self.aborted = True

    def take(self) -> list[Any]:
        """What came since the last time."""
        got, self.got = self.got, []
        return got


class MemoryNode:
    """One node's parts; `session` makes a session on a fake transport."""

    def __init__(
        self,
        configuration: Config,
        nursery: trio.Nursery,
        leaves: Callable[[], bool] = lambda: False,
    ) -> None:
        self.metrics = Metrics()
        self.hub = Hub(self.metrics)
        self.rules = ChannelRules(configuration.channel)
        namespaces = Namespaces.of(configuration.channel)
        self.broker = MemoryBroker(MemoryStore(namespaces, random.Random(1)))
        self.channels = open_channels(configuration, self.broker, self.hub, self.rules, self.metrics)
        self.publisher = Publisher(self.broker, self.rules, self.metrics)
        limits = configuration.client
        sessions = Sessions(limits.connection_limit, limits.user_connection_limit)
        self.parts = Parts(
            config=configuration,
            rules=self.rules,
            channels=self.channels,
            hub=self.hub,
            publisher=self.publisher,
            sessions=sessions,
            timers=Timers(),
            metrics=self.metrics,
            writers=Writers(configuration.client.queue_max_size, nursery),
            origins=OriginCheck(configuration.client.allowed_origins),
            emulation=Emulation(self.broker, str(uuid4())),
            refusal=Arrivals(sessions, leaves, limits.connection_rate_limit).refusal,
            version="0",
        )

    async def start(self, nursery: trio.Nursery) -> None:
        """Run the parts' tasks."""
        await nursery.start(self.channels.run)
        await self.parts.emulation.listen()
        nursery.start_soon(self.hub.run)
        nursery.start_soon(self.parts.timers.run)

    def session(self, **attributes: Any) -> tuple[Session, Client]:
        """A client that was accepted and has said nothing yet."""
        client = Client(**attributes)
        return Session(client, self.parts), client

    async def connected(
        self, subs: dict[str, Any] | None = None, **attributes: Any
    ) -> tuple[Session, Client]:
        """A client whose connect was accepted; its reply is taken."""
        session, client = self.session(**attributes)
        await handle(session, command({"id": 1, "connect": {"subs": subs or {}}}))
        assert session.connected, client.got
        client.take()
        return session, client


def command(fields: dict[str, Any]) -> Command:
    """A command as its JSON would be."""
    return msgspec.json.decode(msgspec.json.encode(fields), type=Command)


@asynccontextmanager
async def memory_node(**overrides: object) -> AsyncIterator[MemoryNode]:
    """A running node."""
    async with trio.open_nursery() as nursery:
        node = MemoryNode(config(**overrides), nursery)
        await node.start(nursery)
        yield node
        nursery.cancel_scope.cancel()
