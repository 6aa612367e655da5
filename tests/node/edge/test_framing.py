"""How replies, pushes and events look as messages."""

from msgspec import Raw
from msgspec.structs import replace

from node.edge.framing import (
    EVENTS,
    MESSAGE_BYTES_MAX,
    PUSHES,
    REPLIES,
    Messages,
    edge_position,
    history_page,
)
from node.protocol.messages import (
    PING,
    ClientInfo,
    ConnectResult,
    Disconnect,
    HistoryResult,
    Publication,
    Push,
    Reply,
    StreamPosition,
    SubscribeResult,
)
from protos import client_pb2, edge_pb2, unistream_pb2

ONE = Publication(Raw(b"1"), ClientInfo("ann", "c", Raw(b"{}")), 7, {"k": "v"})
# Two of them are too long for one message.
LARGE = tuple(Publication(Raw(b"%d" % offset + b"x" * 2_500_000), offset=offset) for offset in (7, 9, 12))
RECOVERED = SubscribeResult(
    recoverable=True, epoch="e", offset=12, recovered=True, positioned=True, publications=LARGE
)


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


def test_a_recovery_that_is_too_long_for_a_message_follows_its_reply() -> None:
    """In order, as if just published: its client stands before it until then, and may go at any moment."""
    sent = REPLIES.reply(Reply(3, subscribe=RECOVERED), "news")
    assert isinstance(sent, Messages)
    assert max(map(len, sent.messages)) < MESSAGE_BYTES_MAX
    reply, *pushes = (client_pb2.Reply.FromString(message) for message in sent.messages)
    subscribed = reply.subscribe
    assert (reply.id, subscribed.recovered, subscribed.epoch, subscribed.offset) == (3, True, "e", 6)
    assert not subscribed.publications
    assert [(each.push.channel, each.push.pub.offset) for each in pushes] == [("news", o) for o in (7, 9, 12)]
    short = REPLIES.reply(Reply(3, subscribe=replace(RECOVERED, publications=LARGE[:1])), "news") or b""
    assert len(client_pb2.Reply.FromString(short).subscribe.publications) == 1


def test_so_does_one_of_several_channels() -> None:
    """A unidirectional client has all of its channels in one push."""
    subs = {"a": replace(RECOVERED, publications=LARGE[:1]), "b": replace(RECOVERED, publications=LARGE[1:])}
    subs["plain"] = SubscribeResult()
    sent = PUSHES.reply(Reply(push=Push(connect=ConnectResult(client="c", subs=subs))))
    assert isinstance(sent, Messages)
    connected, *pushes = (unistream_pb2.Push.FromString(message) for message in sent.messages)
    offsets = {channel: result.offset for channel, result in connected.connect.subs.items()}
    assert offsets == {"a": 6, "b": 8, "plain": 0}
    assert [(push.channel, push.pub.offset) for push in pushes] == [("a", 7), ("b", 9), ("b", 12)]


def test_what_came_in_one_turn_is_no_message_that_is_too_long() -> None:
    """Events are put together only as far as a client takes it."""
    joined = EVENTS.join([EVENTS.publication("a", publication) for publication in LARGE])
    assert isinstance(joined, Messages)
    assert len(joined.messages) == 3


def test_a_page_of_history_ends_where_a_message_does() -> None:
    """With one publication at least, so that who reads on comes to the end, which the position shows."""
    page = history_page("news", HistoryResult(LARGE, "e", 12))
    assert ([publication.offset for publication in page.publications], page.position.offset) == ([7], 12)
    huge = Publication(Raw(b"x" * (MESSAGE_BYTES_MAX + 1)), offset=13)
    assert len(history_page("news", HistoryResult((huge, ONE), "e", 13)).publications) == 1
    many = tuple(Publication(Raw(b"x" * 100_000), offset=offset) for offset in range(1, 100))
    page = history_page("news", HistoryResult(many, "e", 99))
    assert MESSAGE_BYTES_MAX - 101_000 < len(page.SerializeToString()) <= MESSAGE_BYTES_MAX
