"""How replies, pushes and events look as messages."""

from msgspec import Raw

from node.edge.framing import EVENTS, PUSHES, REPLIES, Messages, edge_position, history_page
from node.protocol.messages import (
    PING,
    ClientInfo,
    Disconnect,
    HistoryResult,
    Publication,
    Push,
    Reply,
    StreamPosition,
)
from protos import client_pb2, edge_pb2, unistream_pb2

ONE = Publication(Raw(b"1"), ClientInfo("ann", "c", Raw(b"{}")), 7, {"k": "v"})


def test_a_publication_reads_the_same_in_all_three() -> None:
    """Channel, payload, offset, tags and publisher."""
    reply = client_pb2.Reply.FromString(REPLIES.publication("news", ONE)).push
    push = unistream_pb2.Push.FromString(PUSHES.publication("news", ONE))
    for read in (reply, push):
        assert (read.channel, read.pub.data, read.pub.offset) == ("news", b"1", 7)
        assert (dict(read.pub.tags), read.pub.info.user) == ({"k": "v"}, "ann")
    (event,) = edge_pb2.SubscribeResponse.FromString(EVENTS.publication("news", ONE)).events
    publication = event.publication
    assert (publication.channel, publication.data, publication.offset) == ("news", b"1", 7)
    assert (dict(publication.tags), publication.publisher.user) == ({"k": "v"}, "ann")


def test_several_are_several_messages_or_one_with_several_events() -> None:
    """What the hub writes at once arrives as what it was, in order."""
    frames = [REPLIES.publication("news", ONE), REPLIES.ping]
    joined = REPLIES.join(frames)
    assert isinstance(joined, Messages)
    assert joined.messages == tuple(frames)
    assert REPLIES.join([]) == b""
    events = EVENTS.join([EVENTS.publication("a", ONE), EVENTS.publication("b", ONE)])
    read = edge_pb2.SubscribeResponse.FromString(events).events
    assert [event.publication.channel for event in read] == ["a", "b"]


def test_pings_are_empty_messages() -> None:
    """In each of the three."""
    assert client_pb2.Reply.FromString(REPLIES.ping) == client_pb2.Reply()
    assert REPLIES.reply(PING) == REPLIES.ping
    assert (PUSHES.ping, EVENTS.ping) == (b"", b"")


def test_replies_are_nothing_to_unidirectional_clients() -> None:
    """They get pushes only."""
    assert PUSHES.reply(Reply(1)) is None
    goodbye = PUSHES.reply(Reply(push=Push(disconnect=Disconnect(3001, "shutdown")))) or b""
    assert unistream_pb2.Push.FromString(goodbye).disconnect.code == 3001


def test_positions_are_absent_where_there_are_none() -> None:
    """A plain channel's is not a position 0."""
    assert edge_position(StreamPosition()) is None
    page = history_page("news", HistoryResult((ONE,), "e", 9))
    assert (page.position.epoch, page.position.offset) == ("e", 9)
    assert [publication.offset for publication in page.publications] == [7]
