"""How replies, pushes and events look as messages of a stream, without their length: grpc adds that."""

from collections.abc import Sequence

from msgspec.structs import replace

from node.protocol.messages import (
    PING,
    ClientInfo,
    HistoryResult,
    Publication,
    Push,
    Reply,
    StreamPosition,
    SubscribeResult,
)
from node.protocol.protobuf_codec import push_bytes, reply_bytes
from protos import edge_pb2

# What is longer goes in several messages, or not all at once: grpc's libraries take 4 MB unless they are told
# otherwise, and a client that never gets its recovery would come back for it again and again.
MESSAGE_BYTES_MAX = 4_000_000
# Around a message that is a field of another one: its number, and its length.
_FIELD_BYTES_MAX = 6


class Messages(bytes):
    """Several messages as one write: each has a frame of its own on the wire, which grpc makes.

    Attributes:
        messages: what these bytes are made of.
    """

    messages: tuple[bytes, ...]

    @classmethod
    def of(cls, messages: tuple[bytes, ...]) -> "Messages":
        """Several messages, in order."""
        several = cls(b"".join(messages))
        several.messages = messages
        return several


class ReplyFraming:
    """For clients of `Connect`; see hub.Framing."""

    __slots__ = ()
    ping = reply_bytes(PING)

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return reply_bytes(Reply(push=Push(channel=channel, pub=publication)))

    def join(self, frames: Sequence[bytes]) -> bytes:
        """See hub.Framing."""
        return Messages.of(tuple(frames)) if frames else b""

    def reply(self, reply: Reply, channel: str = "") -> bytes | None:
        """One reply or push; None for what is nothing to these clients.

        Args:
            reply: if it is too long for one message, what it recovers follows it as if just published.
            channel: that a subscribe reply is about, which does not say so itself.
        """
        whole = self._encode(reply)
        if whole is None or len(whole) <= MESSAGE_BYTES_MAX:
            return whole
        alone, missed = _apart(reply, channel)
        pushes = [self.publication(name, publication) for name, publication in missed]
        return Messages.of((self._encode(alone) or b"", *pushes))

    def _encode(self, reply: Reply) -> bytes | None:
        return reply_bytes(reply)


class PushFraming(ReplyFraming):
    """For clients of the unidirectional service."""

    __slots__ = ()
    ping = push_bytes(Push())

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return push_bytes(Push(channel=channel, pub=publication))

    def _encode(self, reply: Reply) -> bytes | None:
        return push_bytes(reply.push) if reply.push is not None else None


class EventFraming:
    """For clients of `Subscribe`; see hub.Framing."""

    __slots__ = ()
    ping = b""

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return event(edge_pb2.Event(publication=edge_publication(channel, publication)))

    def join(self, frames: Sequence[bytes]) -> bytes:
        """See hub.Framing: the only field is repeated, so messages put together are one message."""
        joined = b"".join(frames)
        return joined if len(joined) <= MESSAGE_BYTES_MAX else Messages.of(tuple(frames))


REPLIES = ReplyFraming()
PUSHES = PushFraming()
EVENTS = EventFraming()


def event(one: edge_pb2.Event) -> bytes:
    """An event as a message."""
    return edge_pb2.SubscribeResponse(events=(one,)).SerializeToString()


def edge_publication(channel: str, publication: Publication) -> edge_pb2.Publication:
    """A publication as the edge's contract has it."""
    return edge_pb2.Publication(
        channel=channel,
        data=bytes(publication.data),
        offset=publication.offset,
        tags=publication.tags,
        publisher=_publisher(publication.info) if publication.info is not None else None,
    )


def edge_position(position: StreamPosition) -> edge_pb2.Position | None:
    """A position as the edge's contract has it; None where there is none."""
    return edge_pb2.Position(epoch=position.epoch, offset=position.offset) if position.epoch else None


def history_page(channel: str, result: HistoryResult) -> edge_pb2.HistoryResponse:
    """A page of history as the edge's contract has it, with as much as fits into a message."""
    page = edge_pb2.HistoryResponse(position=edge_position(StreamPosition(result.offset, result.epoch)))
    room = MESSAGE_BYTES_MAX - page.ByteSize()
    for publication in result.publications:
        one = edge_publication(channel, publication)
        room -= one.ByteSize() + _FIELD_BYTES_MAX
        if room < 0 and page.publications:
            break
        page.publications.append(one)
    return page


def _apart(reply: Reply, channel: str) -> tuple[Reply, list[tuple[str, Publication]]]:
    """A reply without what it recovers, and that, in order."""
    subs = {channel: reply.subscribe} if reply.subscribe is not None else {}
    if reply.subscribe is not None:
        reply = replace(reply, subscribe=_before(reply.subscribe))
    elif reply.push is not None and reply.push.connect is not None:
        connect = reply.push.connect
        subs = connect.subs
        connect = replace(connect, subs={name: _before(result) for name, result in subs.items()})
        reply = replace(reply, push=replace(reply.push, connect=connect))
    return reply, [(name, missed) for name, result in subs.items() for missed in result.publications]


def _before(result: SubscribeResult) -> SubscribeResult:
    """A result whose publications follow: until then its client stands before the first of them."""
    if not result.publications:
        return result
    offset = result.publications[0].offset - 1 if result.offset else 0
    return replace(result, publications=(), offset=offset)


def _publisher(info: ClientInfo) -> edge_pb2.Publisher:
    return edge_pb2.Publisher(user=info.user, client=info.client, info=bytes(info.conn_info))
