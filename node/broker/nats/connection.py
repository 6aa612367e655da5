"""One connection to one NATS server that has accepted us. Knows no subscriptions and no second try.

Three tasks: a reader, a writer that is parked while there is nothing to send and joins all that was written
in one turn of the loop, and a watch that probes a silent server. Writing never blocks.
"""

from collections import deque
from collections.abc import Callable

import trio

from node.broker.nats import commands
from node.broker.nats.line import line_of
from node.broker.nats.protocol import Event, Parser, ParserError, ServerInfo
from node.config.nats_urls import Server

READ_BYTES = 65_536
# How long a connection that takes no more bytes is still read.
_LAST_WORDS_S = 0.1


class Probe:
    """A PING on its way, shared by all who ask between two sends.

    Attributes:
        settled: set when the PONG is here or cannot come any more.
        answered: whether it came.
    """

    __slots__ = ("answered", "settled")

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.answered = False

    def settle(self, *, answered: bool) -> None:
        """End the wait of everybody who shares this probe."""
        self.answered = answered
        self.settled.set()


class Connection:
    """A connection the server has accepted; made by `handshake.open_connection`.

    Args:
        stream: TCP or TLS, closed when `run` ends.
        server: where it leads.
        info: what the server said of itself last.
        parser: holds what has arrived behind the handshake.

    Attributes:
        outbox_bytes: written and not yet taken by the socket.
        lost: why it ended, "" while it stands.
    """

    def __init__(self, stream: trio.abc.Stream, server: Server, info: ServerInfo, parser: Parser) -> None:
        self.server = server
        self.info = info
        self.outbox_bytes = 0
        self.lost = ""
        self._stream = stream
        self._line = line_of(stream)
        self._parser = parser
        self._outbox: list[bytes] = []
        self._writer = trio.lowlevel.ParkingLot()
        self._next_probe: Probe | None = None
        self._probes: deque[Probe] = deque()
        self._heard_at = 0.0
        self._leave_reason = ""
        self._scope = trio.CancelScope()

    def write(self, command: bytes) -> None:
        """Send behind all that was written before; never blocks. The caller bounds `outbox_bytes`."""
        self._outbox.append(command)
        self.outbox_bytes += len(command)
        self._writer.unpark()

    def probe(self) -> Probe:
        """Send a PING behind all that was written; answered, it means that all of that is in force."""
        if self._next_probe is None:
            self._next_probe = Probe()
            self._writer.unpark()
        return self._next_probe

    def pong_received(self) -> Probe:
        """Settle the oldest probe, whose answer has come, and return it.

        Raises:
            ParserError: nothing was asked.
        """
        if not self._probes:
            raise ParserError("PONG without a PING")
        probe = self._probes.popleft()
        probe.settle(answered=True)
        return probe

    def lose(self, reason: str) -> None:
        """End the connection; the first reason stands. `run` returns soon after."""
        self.lost = self.lost or reason
        self._scope.cancel()

    def leave_within(self, delay_s: float, reason: str) -> None:
        """End the connection after a delay, unless it is lost before."""
        self._leave_reason = reason
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + delay_s)

    async def abandon(self) -> None:
        """Close a connection that nobody is going to `run`."""
        await trio.aclose_forcefully(self._stream)

    async def run(self, received: Callable[[bytes, list[Event]], None], ping_interval_s: float) -> None:
        """Carry data until the connection is lost, then close it; every open probe is settled by then.

        Args:
            received: called with each portion of bytes and its events; what it raises passes through.
            ping_interval_s: silence after which the server is probed; it is given up after twice that.
        """
        self._heard_at = trio.current_time()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, received)
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._watch, ping_interval_s)
            self.lost = self.lost or self._leave_reason
        finally:
            try:
                await trio.aclose_forcefully(self._stream)
            finally:
                # Last, so that a probe asked for while the stream was closing does not wait for ever.
                for probe in (*self._probes, *([self._next_probe] if self._next_probe else [])):
                    probe.settle(answered=False)

    async def _read(self, received: Callable[[bytes, list[Event]], None]) -> None:
        while True:
            try:
                # A checkpoint even when data is there: other tasks have their turn after each portion.
                data = bytes(await self._line.receive_some(READ_BYTES))
            except trio.BrokenResourceError as error:
                return self.lose(f"reading failed: {cause_of(error)}")
            if not data:
                return self.lose("closed by the server")
            self._heard_at = trio.current_time()
            try:
                received(data, self._parser.receive(data))
            except ParserError as error:
                return self.lose(f"protocol error: {error}")

    async def _write(self) -> None:
        while True:
            if not self._outbox and self._next_probe is None:
                await self._writer.park()
            if self._next_probe is not None:
                self._probes.append(self._next_probe)
                self._next_probe = None
                self._outbox.append(commands.PING)
                self.outbox_bytes += len(commands.PING)
            data = b"".join(self._outbox)
            self._outbox.clear()
            try:
                await self._line.send_all(data)
            except trio.BrokenResourceError as error:
                # The server may have said why before it closed: the reader gets a moment to find that.
                return self.leave_within(_LAST_WORDS_S, f"writing failed: {cause_of(error)}")
            self.outbox_bytes -= len(data)

    async def _watch(self, interval_s: float) -> None:
        """Probe a server silent for an interval, again after half of one, and give up after another half."""
        unanswered = 0
        wake_at = self._heard_at + interval_s
        while True:
            await trio.sleep_until(wake_at)
            now = trio.current_time()
            if self._heard_at + interval_s > now:
                unanswered = 0
                wake_at = self._heard_at + interval_s
                continue
            # When this process itself stood still, the answer may be here and not read yet.
            if now - wake_at < interval_s / 2:
                if unanswered == 2:
                    return self.lose(f"nothing heard for {now - self._heard_at:.1f} s, two PINGs unanswered")
                unanswered += 1
                self.probe()
            wake_at = now + interval_s / 2


def cause_of(error: BaseException) -> str:
    """What the socket or OpenSSL said, which trio wraps, for several addresses in a group."""
    cause = error.__cause__ or error
    if isinstance(cause, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(cause_of(one) for one in cause.exceptions))
    return str(cause) or type(cause).__name__
