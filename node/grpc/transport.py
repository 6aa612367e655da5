"""The writing half of clients that read a gRPC stream; see session.Transport.

A stream ends with a status: why is kept here, and said by the handler when everything queued is out.
"""

from abc import ABC, abstractmethod

from node.edge.framing import EVENTS, PUSHES, REPLIES, Messages
from node.edge.status import Ending, ending_of
from node.edge.subscribing import Subscribing
from node.grpc.loop import Signal
from node.grpc.outbox import GrpcOutbox
from node.hub import Framing
from node.protocol.messages import Disconnect, Push, Reply
from node.protocol.reasons import SLOW, DisconnectReason
from node.session import Parts, Session


class GrpcTransport(ABC):
    """One client's stream.

    Args:
        parts: the node's.
        framing: how publications look.

    Attributes:
        over: set when nothing more will be written.
    """

    __slots__ = ("_reason", "framing", "outbox", "over", "session")
    name: str
    unidirectional: bool
    native_ping = False
    ping_message: bytes

    def __init__(self, parts: Parts, framing: Framing) -> None:
        self.framing = framing
        self.outbox = GrpcOutbox(parts.writers.bytes_max, self)
        self.over = Signal()
        self._reason: DisconnectReason | None = None
        self.session = Session(self, parts)

    @property
    def ending(self) -> Ending | None:
        """How the stream ends, None for well: the client wanted it."""
        return ending_of(self._reason) if self._reason is not None else None

    @abstractmethod
    def encode(self, reply: Reply) -> bytes | None:
        """A reply or push as one write, None for none."""

    def goodbye(self, reason: DisconnectReason) -> bytes | None:
        """What comes last in the stream, None for nothing."""
        return self.encode(Reply(push=Push(disconnect=Disconnect(reason.code, reason.reason))))

    def send(self, reply: Reply) -> None:
        """See Transport."""
        data = self.encode(reply)
        if data is not None:
            self.session.parts.metrics.bytes_out += len(data)
            self.outbox.write(data)

    def ping(self) -> None:
        """See Transport."""
        self.outbox.write(self.ping_message)

    def close(self, reason: DisconnectReason) -> None:
        """See Transport: everything queued, a goodbye, then the status."""
        self._reason = reason
        if reason is SLOW:
            # Its window is closed: a message more would not get through either.
            self.abort()
        else:
            self.outbox.finish(self.goodbye(reason))

    def abort(self) -> None:
        """See Transport."""
        self.outbox.abort()
        self.over.set()

    def finish(self) -> None:
        """The client has said its last: hand on what is queued, then end well."""
        self.outbox.finish()

    def end(self) -> None:
        """The stream is over."""
        self.outbox.abort()
        self.session.end()

    def outbox_overflowed(self) -> None:
        """See OutboxOwner."""
        self.session.slow()

    def outbox_flushed(self) -> None:
        """See OutboxOwner."""
        self.over.set()


class ConnectTransport(GrpcTransport):
    """One client of `Connect`.

    Args:
        parts: the node's.

    Attributes:
        subscribes: the channel of the subscribe command that is served now, or was last.
    """

    __slots__ = ("subscribes",)
    name = "grpc"
    unidirectional = False
    ping_message = REPLIES.ping

    def __init__(self, parts: Parts) -> None:
        self.subscribes = ""
        super().__init__(parts, REPLIES)

    def encode(self, reply: Reply) -> bytes | None:
        """See GrpcTransport."""
        return REPLIES.reply(reply, self.subscribes)


class UniTransport(GrpcTransport):
    """One client of the unidirectional service."""

    __slots__ = ()
    name = "uni_grpc"
    unidirectional = True
    ping_message = PUSHES.ping

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, PUSHES)

    def encode(self, reply: Reply) -> bytes | None:
        """See GrpcTransport."""
        return PUSHES.reply(reply)


class SubscribeTransport(GrpcTransport):
    """One client of `Subscribe`.

    Args:
        parts: the node's.
        subscribing: what it asks for.
    """

    __slots__ = ("_subscribing",)
    name = "grpc_subscribe"
    unidirectional = True
    ping_message = EVENTS.ping

    def __init__(self, parts: Parts, subscribing: Subscribing) -> None:
        self._subscribing = subscribing
        super().__init__(parts, EVENTS)

    @property
    def ending(self) -> Ending | None:
        """See GrpcTransport; a refusal names its channel."""
        return self._subscribing.ending(self._reason) if self._reason is not None else None

    def encode(self, reply: Reply) -> bytes | None:
        """See GrpcTransport."""
        messages = self._subscribing.encode(reply)
        return Messages.of(messages) if messages else None

    def goodbye(self, reason: DisconnectReason) -> bytes | None:
        """See GrpcTransport."""
        return self._subscribing.goodbye(reason)
