"""Thousands of clients in one process: connects them, and counts and times what they are sent.

It parses no frame: it looks for the marks of `frames`, so that it costs a fraction of what any server does.
Every read takes its time from the same clock as the publisher.
"""

import os
import select
import socket
import time
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.bench.frames import (
    CARRY,
    DIGITS,
    MARK,
    Target,
    connect_frame,
    event_stream,
    subscribe_frame,
    times_in,
    upgrade,
)

# So many events are handled before the publisher may have its turn again: well below a millisecond.
_EVENTS = 128
_READ_BYTES = 16_384
# Below the backlog of every server and of Linux (net.core.somaxconn): no SYN is dropped.
_JOINING_MAX = 1000
_DEADLINE_S = 60.0
_WHOLE = (b"}", b"\n")


class LoadError(Exception):
    """A server did not do what the benchmark needs of it."""


class _Dialog(NamedTuple):
    """How a client joins: its request, then what it waits for and what it sends when that came."""

    port: int
    request: bytes
    steps: list[tuple[bytes, bytes]]


class Subscribers:
    """Clients of one server, or of several.

    Attributes:
        came: deliveries so far.
        reads: how many reads they took; fewer than deliveries where servers joined publications.
        samples: how long each took from its publication, nanoseconds.
        epoll: ready descriptors that are nobody's here are returned by `receive`.
    """

    def __init__(self) -> None:
        self.came = 0
        self.reads = 0
        self.samples = array("q")
        self.epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._carried: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._sockets)

    def connect(self, targets: Sequence[Target], transport: str, count: int) -> None:
        """Connect so many more clients and subscribe each; returns when all have their answer.

        Args:
            targets: where to, in turn.
            transport: "websocket" or "sse".
            count: how many, as many of them at once as the servers' backlogs take.

        Raises:
            LoadError: not all of them could.
        """
        dialogs = [_dialog(target, transport) for target in targets]
        joining: dict[int, tuple[_Dialog, int, bytes]] = {}
        begun = 0
        deadline = time.monotonic() + _DEADLINE_S
        while joining or begun < count:
            while begun < count and len(joining) < _JOINING_MAX:
                dialog = dialogs[begun % len(dialogs)]
                joining[self._open(dialog.port, dialog.request)] = (dialog, 0, b"")
                begun += 1
            if time.monotonic() > deadline:
                raise LoadError(f"{len(joining)} clients of {count} were not subscribed in time")
            for fd, _ in self.epoll.poll(1.0, _EVENTS):
                data = os.read(fd, _READ_BYTES)
                if fd not in joining:
                    self._take(fd, data, time.monotonic_ns())
                    continue
                dialog, step, before = joining[fd]
                wanted, answer = dialog.steps[step]
                if not data:
                    raise LoadError(f"a server closed a client that was joining: {before!r}")
                if wanted not in (data := before + data):
                    joining[fd] = (dialog, step, data)
                elif step + 1 < len(dialog.steps):
                    joining[fd] = (dialog, step + 1, b"")
                    os.write(fd, answer)
                else:
                    del joining[fd]
                    self._take(fd, data, time.monotonic_ns())

    def receive(self, timeout_s: float) -> list[int]:
        """Take what came, after at most this long; returns the ready descriptors that are not clients'."""
        others = []
        sockets, read, clock = self._sockets, os.read, time.monotonic_ns
        for fd, _ in self.epoll.poll(timeout_s, _EVENTS):
            if fd in sockets:
                self._take(fd, read(fd, _READ_BYTES), clock())
            else:
                others.append(fd)
        return others

    def close(self) -> None:
        """Close every client."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        self._carried.clear()

    def _take(self, fd: int, data: bytes, now: int) -> None:
        if not data:
            raise LoadError(f"a server closed a client after {self.came:,} deliveries")
        self.reads += 1
        if self._carried:
            data = self._carried.pop(fd, b"") + data
        if data.count(MARK) == 1 and len(data) - (at := data.find(MARK) + len(MARK)) >= DIGITS:
            self.came += 1
            self.samples.append(now - int(data[at : at + DIGITS]))
        else:
            data = self._take_many(fd, data, now)
        if data[-1:] not in _WHOLE and fd not in self._carried:
            self._carried[fd] = data[-len(MARK) + 1 :]

    def _take_many(self, fd: int, data: bytes, now: int) -> bytes:
        last = data.rfind(MARK)
        if last >= 0 and last > len(data) - len(MARK) - DIGITS:
            self._carried[fd] = data[last:]
            assert len(self._carried[fd]) <= CARRY
            data = data[:last]
        times = times_in(data)
        self.came += len(times)
        self.samples.extend(now - at for at in times)
        return data

    def _open(self, port: int, first: bytes) -> int:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(first)
        sock.setblocking(False)
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        self._sockets[sock.fileno()] = sock
        return sock.fileno()


def _dialog(target: Target, transport: str) -> _Dialog:
    """How a client joins; SDKs subscribe when connect was answered."""
    if transport == "sse":
        return _Dialog(target.port, event_stream(target), [(b'"connect":', b"")])
    steps = [(b"\r\n\r\n", connect_frame()), (b'"id":1', subscribe_frame(target)), (b'"id":2', b"")]
    return _Dialog(target.port, upgrade(target), steps)


def seconds(samples: Iterable[int]) -> list[float]:
    """Nanoseconds as seconds."""
    return [sample / 1e9 for sample in samples]
