"""One client: connects, reads, comes back with its positions, and writes down everything it is told."""

import contextlib
import errno
import random
import socket
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chaos.history import DROPPED, Client, Delivered, Position, Role, Session, Subscribed, Unsubscribed
from chaos.history_file import HistoryWriter
from chaos.workload.backoff import delay_s
from chaos.workload.crowd import READ, WRITE, Crowd
from chaos.workload.delays import Delays
from chaos.workload.dialog import Dialog, Opening, Over
from chaos.workload.emulated import EmulatedDialog
from chaos.workload.plain_sse import PlainSseDialog
from chaos.workload.posting import Post
from chaos.workload.publisher import Address, Head
from chaos.workload.sse_dialog import RETRY_S, SseDialog
from chaos.workload.transports import GRPC, TRANSPORTS

_READ_BYTES = 65_536
# A slow client reads so much so often, and its kernel holds little for it.
_SLOW_READ_BYTES = 2048
_SLOW_READ_EVERY_S = 0.25
_SLOW_BUFFER_BYTES = 4096
# Connect and all subscribes: the SDKs' time for a command.
_JOIN_MAX_S = 5.0
_LEFT = -1
# Who goes elsewhere by its own wish closes one connection and opens another.
_MOVE_S = 0.05
# Errors after which an SDK asks again; protocol reference, section 5.1.
_TEMPORARY = (100, 111)
_TERMINAL = (range(3500, 4000), range(4500, 5000))


class Part(NamedTuple):
    """What the clients of a process share.

    Attributes:
        crowd: serves their sockets.
        history: where they write.
        nodes: where they may go; changed in place.
        silence_max_s: without a byte for so long a connection is given up; the nodes' ping interval and
            some patience.
        delays: what there is to see of them.
        grpc_nodes: where those may go that come by gRPC; changed in place.
    """

    crowd: Crowd
    history: HistoryWriter
    nodes: list[Address]
    silence_max_s: float
    delays: Delays
    grpc_nodes: Sequence[Address] = ()


class Subscriber:
    """See the module; a Listener of its dialogs and a Member of the crowd.

    Args:
        name: unique in a run.
        transport: a key of TRANSPORTS.
        channels: what it subscribes to.
        part: what it shares.
        chance: its own.
        role: see history.Client.

    Attributes:
        positions: where it stands, by channel; None: it never was there.
        deliveries: how many came.
        sessions: how often it was welcomed.
        live: channels that are subscribed now, and since when, seconds.
    """

    __slots__ = (
        "_attempt", "_avoided", "_banned", "_chance", "_dialog", "_heard", "_joined_by", "_left", "_name",
        "_node", "_part", "_slow", "_sock", "_transport", "_unsent", "_wish", "deliveries", "live",
        "positions", "sessions",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        transport: str,
        channels: Sequence[str],
        part: Part,
        chance: random.Random,
        role: Role = "healthy",
    ) -> None:
        self.positions: dict[str, Position | None] = dict.fromkeys(channels)
        self.deliveries = 0
        self.sessions = 0
        self.live: dict[str, float] = {}
        self._name = name
        self._transport = transport
        self._part = part
        self._chance = chance
        self._slow = role == "slow"
        self._wish = ""
        self._attempt = 0
        self._avoided = ""
        self._node = Address("", "", 0)
        self._sock: socket.socket | None = None
        self._dialog: Dialog | None = None
        self._unsent = b""
        self._heard = 0.0
        self._joined_by = 0.0
        self._left = False
        self._banned = False
        part.history.write(Client(part.crowd.now(), name, role))

    @property
    def name(self) -> str:
        """Unique in a run."""
        return self._name

    @property
    def wanted(self) -> bool:
        """Whether it means to be connected; a node that sends it away for good takes nothing from that."""
        return not self._left

    @property
    def is_live(self) -> bool:
        """Whether all its channels are subscribed now."""
        return len(self.live) == len(self.positions)

    # --- connecting ----------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open a connection to some node; nothing happens if it has left, was banned, or is connected."""
        if self._left or self._banned or self._sock is not None:
            return
        now = self._part.crowd.now()
        node = self._node = self._choose()
        self._note("connecting", now)
        sock = self._sock = socket.socket()
        sock.setblocking(False)
        if self._slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        last_id = ""
        if self._transport == "sse" and isinstance(self._dialog, PlainSseDialog):
            last_id = self._dialog.last_event_id
        opening = Opening(f"{node.host}:{node.port}", dict(self.positions), last_id)
        self._dialog = TRANSPORTS[self._transport](opening, self)
        self._heard, self._joined_by = now, now + _JOIN_MAX_S
        failure = sock.connect_ex((node.host, node.port))
        if failure not in (0, errno.EINPROGRESS):
            self._end(0, errno.errorcode.get(failure, str(failure)))
            return
        self._unsent = self._dialog.opening()
        self._part.crowd.watch(sock.fileno(), self, READ | WRITE)
        self._part.crowd.at(self._joined_by, self.check)

    def _choose(self) -> Address:
        """Any node but the one that just failed: what is in front of nodes would not name it again."""
        nodes = self._part.grpc_nodes if self._transport == GRPC else self._part.nodes
        wish, self._wish = self._wish, ""
        wished = [node for node in nodes if node.name == wish]
        if wished:
            return wished[0]
        others = [node for node in nodes if node.name != self._avoided]
        return self._chance.choice(others or nodes)

    def go_to(self, node: str, transport: str) -> None:
        """Go there by this transport, at once if it is connected, and wherever it may after that."""
        self._wish = node
        self._transport = transport
        if self._sock is not None:
            self._end(_LEFT, "moved")

    def hasten(self) -> None:
        """Read as fast as others from now on."""
        self._slow = False

    def lacks(self, heads: Mapping[str, Head]) -> list[str]:
        """The channels in which the client has not had the last accepted publication.

        On plain channels nothing is owed to those who were away: there it is enough to be subscribed.
        """
        if self._left:
            return []
        return [channel for channel in self.positions if self._lacks(channel, heads.get(channel))]

    def _lacks(self, channel: str, head: Head | None) -> bool:
        if channel not in self.live:
            return True
        at = self.positions[channel]
        if head is None or not head.epoch:
            return False
        if at is None or at.epoch == head.epoch:
            return at is None or at.offset < head.offset
        # Since it was told that it had lost its place nothing need have come; but it has to have been told.
        return self.live[channel] < head.sent

    def leave(self) -> None:
        """Close the connection, by the client's own wish, and do not come back."""
        self._left = True
        if self._sock is not None:
            self._end(_LEFT, "left")

    def drop(self) -> None:
        """Break the connection as a network does; the client comes back."""
        if self._sock is not None:
            self._end(0, DROPPED)

    def check(self) -> None:
        """Give up a connection on which nothing comes, or that is not joined in time."""
        if self._sock is None:
            return
        now = self._part.crowd.now()
        if now - self._heard > self._part.silence_max_s:
            self._end(0, "no ping")
        elif not self.is_live and now >= self._joined_by:
            self._end(0, "timeout")

    # --- reading and writing -------------------------------------------------------------------------

    def ready(self, events: int) -> None:
        """See Member."""
        sock = self._sock
        if sock is None:
            return
        try:
            if self._unsent and events & WRITE:
                self._send(b"")
            if events & ~WRITE:
                self._read(sock)
        except OSError as error:
            self._end(0, errno.errorcode.get(error.errno or 0, str(error)))

    def _read(self, sock: socket.socket) -> None:
        slow = self._slow
        data = sock.recv(_SLOW_READ_BYTES if slow else _READ_BYTES)
        if not data:
            self._end(0, "end of stream")
            return
        self._heard = self._part.crowd.now()
        dialog = self._dialog
        if dialog is None:
            return
        try:
            answer = dialog.receive(data)
        except Over as over:
            self._end(over.code, over.reason, over.retry_s)
            return
        if answer and self._sock is sock:
            self._say(answer)
        if slow and self._sock is sock:
            crowd = self._part.crowd
            crowd.change(sock.fileno(), 0)
            crowd.at(self._heard + _SLOW_READ_EVERY_S, self._read_again)

    def _read_again(self) -> None:
        if self._sock is not None:
            self._part.crowd.change(self._sock.fileno(), READ | (WRITE if self._unsent else 0))

    def _say(self, data: bytes) -> None:
        """Send it on the connection, or beside it where the connection carries only what comes."""
        dialog, sock = self._dialog, self._sock
        if not isinstance(dialog, EmulatedDialog):
            self._send(data)
            return

        def failed(reason: str) -> None:
            # It says nothing about the connection that came after.
            if self._sock is sock:
                self._end(0, f"/emulation: {reason}")

        Post(self._part.crowd, self._part.nodes, dialog.content_type, data, self._chance, failed)

    def _send(self, data: bytes) -> None:
        sock, had = self._sock, self._unsent
        if sock is None:
            return
        data = had + data
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        self._unsent = data[sent:]
        if self._unsent or had:
            self._part.crowd.change(sock.fileno(), READ | (WRITE if self._unsent else 0))

    def _end(self, code: int, reason: str, retry_s: float | None = None) -> None:
        """The connection is over; come back if that makes sense."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        crowd = self._part.crowd
        crowd.forget(sock.fileno())
        with contextlib.suppress(OSError):
            sock.close()
        self._unsent = b""
        was_live = self.is_live
        self.live.clear()
        now = crowd.now()
        self._note("closed", now, code, reason)
        self._banned = any(code in codes for codes in _TERMINAL)
        if self._left or self._banned:
            return
        self._avoided = self._node.name
        if was_live:
            self._attempt = 0
        wait_s = delay_s(self._attempt, self._chance)
        self._attempt += 1
        if self._wish:
            wait_s = _MOVE_S
        elif isinstance(self._dialog, SseDialog):
            # An EventSource does as it is told, no more and no less.
            told_s = self._dialog.retry_s
            wait_s = RETRY_S if told_s is None else told_s
        crowd.at(now + max(wait_s, retry_s or 0.0), self.connect)

    # --- what the dialog tells -----------------------------------------------------------------------

    def welcomed(self) -> None:
        """See Listener."""
        self.sessions += 1
        self._note("connected", self._heard)

    def subscribed(self, channel: str, epoch: str, offset: int, recovered: bool | None) -> None:
        """See Listener."""
        asked = self.positions.get(channel)
        self._part.history.write(
            Subscribed(self._heard, self._name, channel, epoch, offset, asked, recovered)
        )
        self.positions[channel] = Position(epoch, offset) if epoch else None
        self.live[channel] = self._heard

    def unsubscribed(self, channel: str, code: int) -> None:
        """See Listener."""
        self._part.history.write(Unsubscribed(self._heard, self._name, channel, code))
        self.live.pop(channel, None)
        self._subscribe_later(channel)

    def refused(self, channel: str, code: int, reason: str) -> None:
        """See Listener."""
        if code not in _TEMPORARY or channel not in self.positions:
            raise Over(0, f"subscribe refused: {code} {reason}")
        self._subscribe_later(channel)

    def delivered(self, channel: str, publication: str, offset: int) -> None:
        """See Listener."""
        self.deliveries += 1
        self._part.delays.delivered(publication, self._heard)
        self._part.history.write(Delivered(self._heard, self._name, channel, publication, offset))
        if offset:
            at = self.positions.get(channel)
            if at is not None:
                self.positions[channel] = Position(at.epoch, max(at.offset, offset))

    def _subscribe_later(self, channel: str) -> None:
        crowd = self._part.crowd
        sock = self._sock
        due = crowd.now() + delay_s(0, self._chance)
        self._joined_by = due + _JOIN_MAX_S

        def subscribe() -> None:
            if self._sock is not sock or sock is None or self._dialog is None or channel in self.live:
                return
            command = self._dialog.subscribe(channel, self.positions[channel])
            if command is None:
                self._end(0, "subscribing again needs a new stream")
            else:
                self._say(command)

        crowd.at(due, subscribe)
        crowd.at(self._joined_by, self.check)

    def _note(self, phase: str, now: float, code: int = 0, reason: str = "") -> None:
        self._part.history.write(
            Session(now, self._name, self._transport, self._node.name, phase, code, reason)  # type: ignore[arg-type]
        )
