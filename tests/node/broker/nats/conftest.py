"""Brokers over a real nats-server, for the tests of this package."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats.broker import NatsBroker
from node.config.options import Duration, NatsOptions
from tests.contracts.broker import HISTORY, NAMESPACES
from tests.nats_server import NatsServer
from tests.patience import PATIENCE_S

# One stream, and none that keeps messages for less time than an election may take.
ONE = Namespaces({"": NamespaceStore(HISTORY)})
_numbers = itertools.count(1)


@dataclass
class Recorder:
    """A listener that writes down what it is told."""

    epochs: list[tuple[str, str]] = field(default_factory=list)
    broken: int = 0
    restored: int = 0
    suspect: int = 0

    def feed_broken(self) -> None:
        self.broken += 1

    def feed_restored(self) -> None:
        self.restored += 1

    def heads_suspect(self) -> None:
        self.suspect += 1

    def epoch_changed(self, namespace: str, epoch: str) -> None:
        self.epochs.append((namespace, epoch))


class RecordedBroker(NatsBroker):
    """A broker with its listener at hand."""

    recorder: Recorder


Brokers = Callable[..., Awaitable[RecordedBroker]]


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """A server a test may harm."""
    with NatsServer() as server:
        yield server


@pytest.fixture(scope="session")
def shared_server() -> Iterator[NatsServer]:
    """One server for all tests that do not harm it."""
    with NatsServer() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """First token of this test's subjects: with one of its own every test finds an empty store."""
    return f"t{next(_numbers)}"


@pytest.fixture
def options(prefix: str) -> dict[str, Any]:
    """Changes to the options of this test's brokers."""
    return {"prefix": prefix, "reconnect_delay_max_s": Duration(0.1), "request_deadline_s": Duration(10)}


@pytest.fixture
async def connect(options: dict[str, Any]) -> AsyncIterator[Brokers]:
    """Run a broker against some server and wait until it is connected."""
    async with trio.open_nursery() as nursery:

        async def make(
            url: str,
            namespaces: Namespaces = NAMESPACES,
            kind: type[NatsBroker] = RecordedBroker,
            **more: Any,
        ) -> Any:
            recorder = Recorder()
            broker = kind(NatsOptions(url=url, **{**options, **more}), namespaces, name="test")
            broker.recorder = recorder  # type: ignore[attr-defined]
            await nursery.start(broker.run, recorder)
            await broker.feed.wait_connected(PATIENCE_S)
            return broker

        yield make
        nursery.cancel_scope.cancel()


@pytest.fixture
def make_broker(connect: Brokers, shared_server: NatsServer) -> Callable[..., Awaitable[RecordedBroker]]:
    """A connected broker over the shared server at each call."""

    async def make(**more: Any) -> RecordedBroker:
        return await connect(shared_server.url, **more)

    return make
