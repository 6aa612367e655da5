"""The load generator: a process with clients of one server, and publishers.

It is driven over a pipe: `Worker` is the driver's side, `Load` does the work in the process. Nothing of it
runs while a server works that is not part of the load.
"""

import contextlib
import multiprocessing
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, cast

from tests.bench.frames import OK, Target, is_whole, publish_request
from tests.bench.subscribers import LoadError, Subscribers, seconds

# Without a delivery for so long, what is missing counts as lost.
_PATIENCE_S = 3.0
# So long nothing may have come before what is there counts as all: what comes twice comes late.
_SILENCE_S = 0.05
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published.

    Attributes:
        rate: publications per second.
        count: how many in all.
        burst: so many are sent as one write, one write every burst / rate seconds.
        size: bytes of a publication's data.
    """

    rate: float
    count: int
    burst: int = 1
    size: int = 128


@dataclass(slots=True)
class Report:
    """What came of it; see measure.Round.

    Attributes:
        came: deliveries, and reads: in how many reads.
        uneven: clients that had too few deliveries, or too many.
        answers: of a server to publications.
        sending_s: how long publishing took, an interval after the last one included.
        outstanding_s: how long there was a publication that some client did not have yet.
    """

    wall_s: float
    cpu_s: float
    came: int
    answers: int
    sending_s: float
    samples: list[float]
    reads: int = 0
    outstanding_s: float = 0.0
    uneven: int = 0


class Load:
    """Clients and publishers of one process."""

    def __init__(self) -> None:
        self._subscribers = Subscribers()

    def connect(self, targets: Sequence[Target], transport: str, count: int) -> Report:
        """See Subscribers.connect."""
        self._subscribers.forget()
        began, cpu = time.monotonic(), time.process_time()
        self._subscribers.connect(targets, transport, count)
        wall_s = time.monotonic() - began
        recovered = self._subscribers.came
        return Report(wall_s, time.process_time() - cpu, recovered, count, wall_s, [])

    def receive_rest(self, each: int) -> Report:
        """Receive what is left of so many deliveries to each client, recovered ones after `connect`."""
        began, cpu = time.monotonic(), time.process_time()
        subscribers = self._subscribers
        count = each * len(subscribers)
        before, progress = -1, began
        while subscribers.came < count and time.monotonic() - progress < _PATIENCE_S:
            if subscribers.came != before:
                before, progress = subscribers.came, time.monotonic()
            subscribers.receive(0.1)
        wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
        self._receive_late_ones()
        return Report(wall_s, cpu_s, subscribers.came, 0, wall_s, [], uneven=subscribers.uneven(each))

    def disconnect(self) -> None:
        """Close every client."""
        self._subscribers.close()

    def publish_and_receive(self, target: Target, plan: Plan) -> Report:
        """Publish over one kept-alive connection at a steady rate; all clients here get each publication."""
        subscribers = self._subscribers
        subscribers.forget()
        request, rest = publish_request(target, plan.size)
        expected = plan.count * len(subscribers)
        interval_ns = int(plan.burst / plan.rate * 1e9)
        sent = answers = outstanding_ns = since = 0
        with self._connection(target) as sock:
            cpu, began = time.process_time(), time.monotonic_ns()
            due = progress = sending_ns = began
            while sent < plan.count or subscribers.came < expected or answers < plan.count:
                now = time.monotonic_ns()
                if sent < plan.count and now >= due:
                    number = min(plan.burst, plan.count - sent)
                    sock.sendall((request + b"%019d" % now + rest) * number)
                    since = since or now
                    sent += number
                    due += interval_ns
                    progress = sending_ns = now
                    continue
                before = subscribers.came
                wait_s = (due - now) / 1e9 if sent < plan.count else 0.1
                if subscribers.receive(wait_s):
                    if not (answer := sock.recv(_READ_BYTES)):
                        raise LoadError(f"{target.name} closed the publisher's connection")
                    answers += answer.count(OK)
                elif subscribers.came == before and sent == plan.count:
                    if now - progress > _PATIENCE_S * 1e9:
                        break
                else:
                    progress = now
                if since and subscribers.came >= sent * len(subscribers):
                    outstanding_ns += time.monotonic_ns() - since
                    since = 0
            wall_s = (time.monotonic_ns() - began) / 1e9
            cpu_s = time.process_time() - cpu
        sending_s = (sending_ns - began + interval_ns) / 1e9
        self._receive_late_ones()
        samples = seconds(subscribers.samples)
        came, reads, uneven = subscribers.came, subscribers.reads, subscribers.uneven(plan.count)
        return Report(wall_s, cpu_s, came, answers, sending_s, samples, reads, outstanding_ns / 1e9, uneven)

    def publish_at_once(self, target: Target, connections: int, count: int, size: int) -> Report:
        """Publish over so many connections, on each the next one when the last one was answered."""
        request, rest = publish_request(target, size)
        samples: list[int] = []
        sent = 0
        with contextlib.ExitStack() as stack:
            socks = {
                sock.fileno(): sock
                for sock in (stack.enter_context(self._connection(target)) for _ in range(connections))
            }
            cpu, began = time.process_time(), time.monotonic()
            started: dict[int, int] = {}
            answers: dict[int, bytes] = {}

            def send(sock: socket.socket) -> None:
                now = started[sock.fileno()] = time.monotonic_ns()
                sock.sendall(request + b"%019d" % now + rest)

            for sock in socks.values():
                send(sock)
                sent += 1
            while len(samples) < count:
                ready = self._subscribers.epoll.poll(_PATIENCE_S, connections)
                if not ready:
                    break
                for fd, _ in ready:
                    data = os.read(fd, _READ_BYTES)
                    answer = answers.pop(fd, b"") + data
                    if data and not is_whole(answer):
                        answers[fd] = answer
                        continue
                    if OK not in answer or b'"error"' in answer:
                        raise LoadError(f"{target.name} refused a publication: {answer!r}")
                    samples.append(time.monotonic_ns() - started[fd])
                    if sent < count:
                        send(socks[fd])
                        sent += 1
            wall_s = time.monotonic() - began
            cpu_s = time.process_time() - cpu
        return Report(wall_s, cpu_s, len(samples), len(samples), wall_s, seconds(samples))

    def _receive_late_ones(self) -> None:
        before = -1
        while before != self._subscribers.came:
            before = self._subscribers.came
            self._subscribers.receive(_SILENCE_S)

    @contextlib.contextmanager
    def _connection(self, target: Target) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", target.publish_port or target.port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._subscribers.epoll.register(sock.fileno(), select.EPOLLIN)
            yield sock
            self._subscribers.epoll.unregister(sock.fileno())


def _serve(pipe: Connection) -> None:
    load = Load()
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, getattr(load, name)(*arguments)))
        except (LoadError, OSError) as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))


class Worker:
    """A load generator in a process of its own; leaving the context ends it and its clients."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def connect(self, targets: Sequence[Target], transport: str, count: int) -> Report:
        """See Load.connect."""
        return cast("Report", self.start("connect", targets, transport, count).result())

    def disconnect(self) -> None:
        """See Load.disconnect."""
        self.start("disconnect").result()

    def receive_rest(self, each: int) -> Report:
        """See Load.receive_rest."""
        return cast("Report", self.start("receive_rest", each).result())

    def publish_and_receive(self, target: Target, plan: Plan) -> Report:
        """See Load.publish_and_receive."""
        return cast("Report", self.start("publish_and_receive", target, plan).result())

    def publish_at_once(self, target: Target, connections: int, count: int, size: int) -> Report:
        """See Load.publish_at_once."""
        return cast("Report", self.start("publish_at_once", target, connections, count, size).result())

    def start(self, name: str, *arguments: object) -> Self:
        """Let the process begin; `result` waits for its end, so that several can work at once."""
        self._pipe.send((name, arguments))
        return self

    def result(self) -> Any:
        """What the work that was started gave.

        Raises:
            LoadError: it could not be done.
        """
        succeeded, result = self._pipe.recv()
        if not succeeded:
            raise LoadError(result)
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
