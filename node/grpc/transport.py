"""The writing half of clients that read a gRPC stream; see session.Transport.

A stream ends with a status: why is kept here, and said by the handler when everything queued is out.
"""

from collections.abc import Mapping, Sequence

from node.grpc.framing import EVENTS, PUSHES, REPLIES, edge_position, event
from node.grpc.loop import Signal
from node.grpc.outbox import GrpcOutbox, Messages
from node.grpc.status import Ending, ending_of
from node.hub import Framing
from node.protocol.messages import (
    Command,
    ConnectRequest,
    Disconnect,
    Push,
    Reply,
    StreamPosition,
    SubscribeRequest,
    SubscribeResult,
)
from node.protocol.reasons import INSUFFICIENT_STATE, SLOW, DisconnectReason
from node.session import Parts, Session
from protos import edge_pb2


class GrpcTransport:
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

    def encode(self, reply: Reply) -> bytes | None:
        """A reply or push as one write, None for none."""
        raise NotImplementedError

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
    """One client of `Connect`."""

    __slots__ = ()
    name = "grpc"
    unidirectional = False
    ping_message = REPLIES.ping

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, REPLIES)

    def encode(self, reply: Reply) -> bytes | None:
        """See GrpcTransport."""
        return REPLIES.reply(reply)


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
        channels: what it asks for, each once, and where it stands.
    """

    __slots__ = ("_asking", "_channels", "_connected")
    name = "grpc_subscribe"
    unidirectional = True
    ping_message = EVENTS.ping

    def __init__(self, parts: Parts, channels: Mapping[str, StreamPosition | None]) -> None:
        self._channels = channels
        # Those whose answer has not come, the next one first.
        self._asking = list(channels)
        self._connected = False
        super().__init__(parts, EVENTS)

    @property
    def ending(self) -> Ending | None:
        """See GrpcTransport; a refusal names its channel."""
        if self._reason is None:
            return None
        refused = self._connected and self._asking and not self._reason.reconnect
        return ending_of(self._reason, self._asking[0] if refused else "")

    def commands(self, token: str) -> Sequence[Command]:
        """What the call stands for: a connect, then a subscribe per channel."""
        subscribes = [
            Command(id=number, subscribe=_subscribe_request(channel, since))
            for number, (channel, since) in enumerate(self._channels.items(), 2)
        ]
        return [Command(id=1, connect=ConnectRequest(token=token)), *subscribes]

    def encode(self, reply: Reply) -> bytes | None:
        """See GrpcTransport."""
        if reply.subscribe is None:
            self._connected = self._connected or reply.push is not None
            return None
        return self._subscribed(self._asking.pop(0), reply.subscribe)

    def goodbye(self, reason: DisconnectReason) -> bytes | None:
        """See GrpcTransport: that something may be missing is said in the stream too."""
        return event(edge_pb2.Event(gap=edge_pb2.Gap())) if reason is INSUFFICIENT_STATE else None

    def _subscribed(self, channel: str, result: SubscribeResult) -> bytes:
        since = self._channels[channel]
        position = edge_position(StreamPosition(result.offset, result.epoch))
        subscribed = edge_pb2.Subscribed(channel=channel, position=position, recovered=result.recovered)
        messages = [event(edge_pb2.Event(subscribed=subscribed))]
        if since is not None and not result.recovered:
            gap = edge_pb2.Gap(channel=channel, since=edge_position(since), position=position)
            messages.append(event(edge_pb2.Event(gap=gap)))
        # Each a message: a client's library limits how long one may be.
        messages += [EVENTS.publication(channel, publication) for publication in result.publications]
        return Messages.of(tuple(messages))


def _subscribe_request(channel: str, since: StreamPosition | None) -> SubscribeRequest:
    at = since or StreamPosition()
    return SubscribeRequest(
        channel=channel,
        recover=since is not None,
        epoch=at.epoch,
        offset=at.offset,
        positioned=True,
        recoverable=True,
    )
