"""Thousands of clients in one process: connects them, and counts and times what they are sent.

It parses no frame: it looks for the marks of `frames`, so that it costs a fraction of what any server does.
Every read takes its time from the same clock as the publisher.
"""

import select
import socket
import ssl
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from tests.bench.dialogs import Dialog, dialog
from tests.bench.frames import CARRY, DIGITS, MARK, Target, times_in
from tests.bench.http3_client import Http3Client

# So many events are handled before the publisher may have its turn again: well below a millisecond.
_EVENTS = 128
_READ_BYTES = 16_384
# Below the backlog of every server and of Linux (net.core.somaxconn): no SYN is dropped.
_JOINING_MAX = 1000
_DEADLINE_S = 60.0
_WHOLE = (b"}", b"\n")


class LoadError(Exception):
    """A server did not do what the benchmark needs of it."""


class Subscribers:
    """Clients of one server, or of several.

    Attributes:
        came: deliveries so far.
        came_to: of them, by descriptor.
        reads: how many reads they took; fewer than deliveries where servers joined publications.
        samples: how long each took from its publication, nanoseconds.
        epoll: ready descriptors that are nobody's here are returned by `receive`.
    """

    def __init__(self) -> None:
        self.came = 0
        self.came_to: defaultdict[int, int] = defaultdict(int)
        self.reads = 0
        self.samples = array("q")
        self.epoll = select.epoll()
        self._sockets: dict[int, socket.socket | Http3Client] = {}
        # How to read each: None where bytes came that hold nothing for the client.
        self._read: dict[int, Callable[[int], bytes | None]] = {}
        self._carried: dict[int, bytes] = {}
        self._tls = _client_context()

    def __len__(self) -> int:
        return len(self._sockets)

    def connect(self, targets: Sequence[Target], transport: str, count: int) -> None:
        """Connect so many more clients and subscribe each; returns when all have their answer.

        Args:
            targets: where to, in turn.
            transport: see dialogs.TRANSPORTS.
            count: how many, as many of them at once as the servers' backlogs take.

        Raises:
            LoadError: not all of them could.
        """
        dialogs = [dialog(target, transport) for target in targets]
        joining: dict[int, tuple[Dialog, int, bytes]] = {}
        begun = 0
        deadline = time.monotonic() + _DEADLINE_S
        while joining or begun < count:
            while begun < count and len(joining) < _JOINING_MAX:
                begins = dialogs[begun % len(dialogs)]
                joining[self._open(begins)] = (begins, 0, b"")
                begun += 1
            if time.monotonic() > deadline:
                raise LoadError(f"{len(joining)} clients of {count} were not subscribed in time")
            for fd, _ in self.epoll.poll(1.0, _EVENTS):
                data = self._read[fd](_READ_BYTES)
                if fd not in joining:
                    self._take(fd, data, time.monotonic_ns())
                    continue
                joins, step, before = joining[fd]
                wanted, answer = joins.steps[step]
                if data is None:
                    continue
                if not data:
                    raise LoadError(f"a server closed a client that was joining: {before!r}")
                if wanted not in (data := before + data):
                    joining[fd] = (joins, step, data)
                    continue
                self._sockets[fd].sendall(answer(data) if callable(answer) else answer)
                if step + 1 < len(joins.steps):
                    joining[fd] = (joins, step + 1, b"")
                else:
                    del joining[fd]
                    self._take(fd, data, time.monotonic_ns())

    def receive(self, timeout_s: float) -> list[int]:
        """Take what came, after at most this long; returns the ready descriptors that are not clients'."""
        others = []
        read, clock = self._read, time.monotonic_ns
        for fd, _ in self.epoll.poll(timeout_s, _EVENTS):
            if fd in read:
                self._take(fd, read[fd](_READ_BYTES), clock())
            else:
                others.append(fd)
        return others

    def forget(self) -> None:
        """Count anew."""
        self.came = self.reads = 0
        self.came_to.clear()
        del self.samples[:]

    def uneven(self, each: int) -> int:
        """How many clients have not had exactly so many deliveries: one may miss what another had twice."""
        return sum(self.came_to[fd] != each for fd in self._sockets)

    def close(self) -> None:
        """Close every client."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        self._read.clear()
        self._carried.clear()

    def _take(self, fd: int, data: bytes | None, now: int) -> None:
        if data is None:
            return
        if not data:
            raise LoadError(f"a server closed a client after {self.came:,} deliveries")
        self.reads += 1
        if self._carried:
            data = self._carried.pop(fd, b"") + data
        if data.count(MARK) == 1 and len(data) - (at := data.find(MARK) + len(MARK)) >= DIGITS:
            self.came += 1
            self.came_to[fd] += 1
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
        self.came_to[fd] += len(times)
        self.samples.extend(now - at for at in times)
        return data

    def _open(self, begins: Dialog) -> int:
        if begins.quic:
            client = Http3Client(begins.port, begins.request)
            return self._add(client, client.recv)
        sock = socket.create_connection(("127.0.0.1", begins.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if begins.tls:
            sock = self._tls.wrap_socket(sock)
        sock.sendall(begins.request)
        sock.setblocking(False)
        return self._add(sock, _decrypting(sock) if begins.tls else sock.recv)

    def _add(self, sock: socket.socket | Http3Client, read: Callable[[int], bytes | None]) -> int:
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        self._sockets[sock.fileno()] = sock
        self._read[sock.fileno()] = read
        return sock.fileno()


def _decrypting(sock: socket.socket) -> Callable[[int], bytes | None]:
    """Reads a record, whole or not at all: what is left stays in the kernel, where epoll sees it."""

    def read(size: int) -> bytes | None:
        try:
            return sock.recv(size)
        except ssl.SSLWantReadError:
            return None

    return read


def _client_context() -> ssl.SSLContext:
    """Whose certificate it is makes no difference to what a delivery costs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def seconds(samples: Iterable[int]) -> list[float]:
    """Nanoseconds as seconds."""
    return [sample / 1e9 for sample in samples]
