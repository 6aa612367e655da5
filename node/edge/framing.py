"""How replies, pushes and events look as messages of a stream, without their length: grpc adds that."""

from collections.abc import Sequence

from node.protocol.messages import PING, ClientInfo, HistoryResult, Publication, Push, Reply, StreamPosition
from node.protocol.protobuf_codec import push_bytes, reply_bytes
from protos import edge_pb2


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

    def reply(self, reply: Reply) -> bytes | None:
        """One reply or push; None for what is nothing to these clients."""
        return reply_bytes(reply)


class PushFraming(ReplyFraming):
    """For clients of the unidirectional service."""

    __slots__ = ()
    ping = push_bytes(Push())

    def publication(self, channel: str, publication: Publication) -> bytes:
        """See hub.Framing."""
        return push_bytes(Push(channel=channel, pub=publication))

    def reply(self, reply: Reply) -> bytes | None:
        """See ReplyFraming."""
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
        return b"".join(frames)


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
    """A page of history as the edge's contract has it."""
    return edge_pb2.HistoryResponse(
        publications=[edge_publication(channel, publication) for publication in result.publications],
        position=edge_position(StreamPosition(result.offset, result.epoch)),
    )


def _publisher(info: ClientInfo) -> edge_pb2.Publisher:
    return edge_pb2.Publisher(user=info.user, client=info.client, info=bytes(info.conn_info))
