"""`feed`: what a message and a subscription cost between NATS and a hub that has no subscribers.

The node's own broker and hub run in a process of their own; a plain NATS connection of this process
publishes to the live subject, as a backend may.
"""

import contextlib
import multiprocessing
import socket
import sys
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import trio
from msgspec import Raw

from node.broker.interface import Live
from node.broker.namespaces import Namespaces
from node.broker.nats.broker import NatsBroker
from node.broker.nats.subjects import Subjects
from node.config.options import NatsOptions
from node.hub import Hub
from node.protocol.messages import Publication
from node.telemetry.metrics import Metrics
from tests.bench.arena import Arena
from tests.bench.measure import NODE, Cpu, Round, Spread, cpu_of, memory_of
from tests.bench.profiled import Sampler
from tests.bench.subscribers import LoadError
from tests.bench.table import Bound, Row, row_of
from tests.nats_server import NatsServer

_CHANNEL = "bench:feed"
_OTHERS = "bench:feed-{}"
# Messages in one write, each answered for before the next: the server never has too much to keep.
_BATCH = 500
_DEADLINE_S = 30.0


class _Silent:
    """A listener to whom nothing happens that the benchmark could use."""

    def feed_broken(self) -> None: ...

    def feed_restored(self) -> None: ...

    def heads_suspect(self) -> None: ...

    def epoch_changed(self, namespace: str, epoch: str) -> None: ...


class _Receiver:
    """The process that receives: subscribes when told to, and says how many messages came."""

    def __init__(self, url: str) -> None:
        self._hub = Hub(Metrics())
        self._broker = NatsBroker(NatsOptions(url=url), Namespaces(), name="bench")
        self._came = self._wanted = 0
        self._enough = trio.Event()

    async def run(self, pipe: Connection) -> None:
        """Serve the driver: a number of subscriptions to make, then numbers of messages to wait for."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._broker.run, _Silent())
            await self._broker.subscribe(_CHANNEL, self._deliver)
            pipe.send(0)
            subscribed = 0
            while (order := await trio.to_thread.run_sync(_order, pipe)) is not None:
                subscriptions, self._wanted = order
                self._came, self._enough = 0, trio.Event()
                for number in range(subscribed, subscribed + subscriptions):
                    await self._broker.subscribe(_OTHERS.format(number), self._deliver)
                subscribed += subscriptions
                pipe.send(0)
                with trio.move_on_after(_DEADLINE_S):
                    if self._wanted:
                        await self._enough.wait()
                pipe.send(self._came)
            nursery.cancel_scope.cancel()

    def _deliver(self, live: Live) -> None:
        self._came += 1
        if self._came == self._wanted:
            self._enough.set()
        self._hub.publish(_CHANNEL, Publication(Raw(live.message.data), None, live.offset))


def _order(pipe: Connection) -> tuple[int, int] | None:
    try:
        order: tuple[int, int] = pipe.recv()
    except EOFError:
        return None
    return order


def _receive(url: str, pipe: Connection, profiles: Path | None) -> None:
    with (
        contextlib.redirect_stdout(sys.stderr),  # what it logs is no part of the result
        Sampler(profiles) if profiles else contextlib.nullcontext(),
    ):
        trio.run(_Receiver(url).run, pipe)


def feed(arena: Arena) -> list[Row]:
    """CPU per message from NATS into a hub without subscribers, and memory per subscription."""
    context = multiprocessing.get_context("spawn")
    with NatsServer() as nats:
        pipe, theirs = context.Pipe()
        process = context.Process(target=_receive, args=(nats.url, theirs, arena.profiles), daemon=True)
        process.start()
        theirs.close()
        assert process.pid is not None
        try:
            if not pipe.poll(_DEADLINE_S):
                raise LoadError("the receiver does not connect to its nats-server")
            pipe.recv()
            subject = Subjects(NatsOptions().prefix, Namespaces()).live(_CHANNEL)
            with _publisher(nats.port) as publisher:
                play = partial(_play, pipe, process.pid, publisher, subject, arena.payload)
                play(arena.either(20_000, 5000))
                rounds = [play(arena.either(100_000, 20_000)) for _ in range(arena.round_count)]
            row = row_of("feed message", "us CPU/message", rounds, Bound(limit=2))
            rate = sum(each.came for each in rounds) / sum(each.wall_s for each in rounds)
            row.notes.append(f"{rate:,.0f} messages/s")
            return [row, _subscriptions(arena, pipe, process.pid)]
        finally:
            pipe.close()
            process.join(timeout=5)
            if process.is_alive():
                process.kill()


def _play(pipe: Connection, pid: int, publisher: socket.socket, subject: str, size: int, count: int) -> Round:
    pipe.send((0, count))
    pipe.recv()
    message = f"PUB {subject} {size}\r\n".encode() + b'"' + b"x" * (size - 2) + b'"\r\n'
    batch = message * _BATCH + b"PING\r\n"
    before, began, load = cpu_of([pid]), time.monotonic(), time.process_time()
    for _ in range(count // _BATCH):
        publisher.sendall(batch)
        _wait_for(publisher, b"PONG")
    came = pipe.recv()
    cpu, wall_s = Cpu(cpu_of([pid]) - before), time.monotonic() - began
    return Round(NODE, count, cpu, wall_s, time.process_time() - load, expected=count, came=came)


def _subscriptions(arena: Arena, pipe: Connection, pid: int) -> Row:
    count = arena.either(20_000, 5000)
    kilobytes, cpu_us = [], []
    for _ in range(arena.round_count):
        memory, cpu = memory_of(pid), cpu_of([pid])
        pipe.send((count, 0))
        pipe.recv()
        pipe.recv()
        kilobytes.append((memory_of(pid) - memory) / count / 1000)
        cpu_us.append((cpu_of([pid]) - cpu) / count * 1e6)
    row = Row("feed subscription", "kB/subscription", {NODE: Spread.of(kilobytes)}, bound=Bound(limit=0.5))
    row.notes.append(
        f"{Spread.of(cpu_us).median:.0f} us CPU each, one after the other and confirmed; each round adds "
        f"{count:,} to those that are there"
    )
    return row


def _publisher(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(_DEADLINE_S)
    _wait_for(sock, b"INFO")
    sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
    _wait_for(sock, b"PONG")
    return sock


def _wait_for(sock: socket.socket, word: bytes) -> None:
    received = b""
    while word not in received:
        data = sock.recv(65_536)
        if not data:
            raise LoadError(f"the nats-server ended the connection: {received!r}")
        received = received[-len(word) :] + data
