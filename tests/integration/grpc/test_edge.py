"""The edge service against two nodes of a cluster, with grpcio's synchronous client."""

import json
import queue
import time
from typing import Any

import grpc
import jwt
import pytest

from protos import client_pb2, edge_pb2
from tests.integration.cluster import HMAC_KEY, Cluster
from tests.integration.grpc.clients import EDGE, Caller, status_of
from tests.integration.raw import CONNECT, Raw


def token(**claims: Any) -> str:
    return jwt.encode({"sub": "ann", **claims}, HMAC_KEY, "HS256")


def commands(*first: client_pb2.Command) -> tuple["queue.SimpleQueue[Any]", Any]:
    """A queue of commands, and the iterator that grpc sends them from; None is the end."""
    todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for command in first:
        todo.put(command)
    return todo, iter(todo.get, None)


def answer(replies: Any, todo: "queue.SimpleQueue[Any]") -> client_pb2.Reply:
    """The next reply or push; pings that come before it on a busy machine are answered."""
    while (reply := next(replies)) == client_pb2.Reply():
        todo.put(client_pb2.Command())
    return reply  # type: ignore[no-any-return]


CONNECT_COMMAND = client_pb2.Command(id=1, connect=client_pb2.ConnectRequest())


def subscribe_command(channel: str, number: int = 2) -> client_pb2.Command:
    return client_pb2.Command(id=number, subscribe=client_pb2.SubscribeRequest(channel=channel))


def test_what_is_published_on_one_node_arrives_on_the_other(
    here: Caller, there: Caller, channel: str
) -> None:
    """In order, with its position, once: to every stream of every node."""
    streams = [there.subscribe(channel), there.subscribe(channel), here.subscribe(channel)]
    at = [stream.next("subscribed") for stream in streams]
    for number in range(20):
        here.publish(channel, b"%d" % number)
    for stream, subscribed in zip(streams, at, strict=True):
        publications = [stream.next("publication") for _ in range(20)]
        assert [publication.data for publication in publications] == [b"%d" % n for n in range(20)]
        offsets = [publication.offset for publication in publications]
        assert offsets == sorted(set(offsets))
        assert offsets[0] > subscribed.position.offset
        assert {publication.channel for publication in publications} == {channel}


def test_a_stream_goes_on_elsewhere_from_its_position(here: Caller, there: Caller, channel: str) -> None:
    """What was published while the client was away comes first, and it is said that nothing is missing."""
    first = here.subscribe(channel)
    epoch = first.next("subscribed").position.epoch
    here.publish(channel, b"1")
    seen = first.next("publication").offset
    first.call.cancel()
    for number in (2, 3):
        here.publish(channel, b"%d" % number)
    again = there.subscribe(**{channel.replace("-", "_"): (epoch, seen)})
    subscribed = again.next("subscribed")
    assert subscribed.recovered
    assert again.data(2) == [b"2", b"3"]
    here.publish(channel, b"4")
    assert again.data(1) == [b"4"]


@pytest.mark.parametrize("at", [("another-epoch", 3), ("another-epoch", 0)])
def test_a_position_that_cannot_be_honoured_is_a_gap(here: Caller, channel: str, at: tuple[str, int]) -> None:
    """It is said explicitly, with both ends, before any publication; then the stream goes on."""
    here.publish(channel, b"0")
    stream = here.subscribe(**{channel.replace("-", "_"): at})
    subscribed = stream.next("subscribed")
    gap = stream.next("gap")
    assert not subscribed.recovered
    assert gap.channel == channel
    assert gap.position == subscribed.position
    assert gap.since.offset == at[1]
    here.publish(channel, b"1")
    while stream.next("publication").data != b"1":
        pass


def test_a_plain_channel_has_no_position_and_its_gap_is_told(here: Caller) -> None:
    """Who asks for what a plain channel does not keep is not left to believe that nothing is missing."""
    stream = here.subscribe(**{"plain:x": ("e", 1)})
    subscribed = stream.next("subscribed")
    assert not subscribed.HasField("position")
    assert stream.next("gap").channel == "plain:x"
    here.publish("plain:x", b'{"a":1}')
    assert stream.next("publication").offset == 0


def test_an_idle_stream_is_pinged(here: Caller, channel: str) -> None:
    """Responses without events tell the client that the way is open."""
    stream = here.subscribe(channel)
    stream.next("subscribed")
    response = next(stream.call)
    assert not response.events


async def test_a_position_of_a_websocket_is_honoured_here(mixed: Cluster, here: Caller, channel: str) -> None:
    """Positions belong to channels, not to transports; and so the other way round."""
    async with await Raw.open(mixed.nodes[0].http) as raw:
        subscribe: dict[str, Any] = {"channel": channel}
        await raw.connected()
        await raw.send_text(json.dumps({"id": 2, "subscribe": subscribe}))
        (reply,) = await raw.replies()
        at = reply["subscribe"]
    here.publish(channel, b"1")
    stream = here.subscribe(**{channel.replace("-", "_"): (at["epoch"], at.get("offset", 0))})
    assert stream.next("subscribed").recovered
    publication = stream.next("publication")
    assert publication.data == b"1"
    stream.call.cancel()
    here.publish(channel, b"2")
    async with await Raw.open(mixed.nodes[0].http) as raw:
        assert (await raw.upgrade("/connection/websocket")).status == 101
        subscribe |= {"recover": True, "epoch": at["epoch"], "offset": publication.offset}
        await raw.send_text(f"{CONNECT}\n" + json.dumps({"id": 2, "subscribe": subscribe}))
        replies: list[dict[str, Any]] = []
        while len(replies) < 2:
            replies += await raw.replies()
        assert replies[1]["subscribe"]["recovered"]
        assert [missed["data"] for missed in replies[1]["subscribe"]["publications"]] == [2]


def test_a_stream_of_messages_is_stored_and_its_failures_are_named(here: Caller, channel: str) -> None:
    """Each message is accepted or named with its place and reason; what was accepted is in the history."""
    messages = [(channel, b"0"), ("closed:x", b"1"), (channel, b"2"), ("nowhere:x", b"3"), (channel, b"{")]
    summary = here.publish_stream(messages)
    assert (summary.received, summary.accepted, summary.failed) == (5, 2, 3)
    assert [(f.index, f.channel, f.code) for f in summary.failures] == [
        (1, "closed:x", 103),
        (3, "nowhere:x", 102),
        (4, channel, 107),
    ]
    assert [publication.data for publication in here.history(channel).publications] == [b"0", b"2"]


def test_history_is_read_from_any_node(here: Caller, there: Caller, channel: str) -> None:
    """A page of it, and where it ends."""
    for number in range(3):
        here.publish(channel, b"%d" % number)
    page = there.history(channel, limit=2)
    assert [publication.data for publication in page.publications] == [b"0", b"1"]
    assert page.position.epoch
    assert page.position.offset > page.publications[1].offset


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("closed:x", ("PERMISSION_DENIED", "3507")),
        ("nowhere:x", ("NOT_FOUND", "102")),
        ("", ("INVALID_ARGUMENT", "107")),
    ],
)
def test_channels_one_cannot_have_end_the_stream_with_a_reason(
    here: Caller, name: str, status: tuple[str, str]
) -> None:
    """The status says what kind of reason, its text which channel."""
    error = here.subscribe(name).end()
    assert status_of(error) == status
    assert name in error.details()


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda c: c.publish("closed:x", b"1"), ("PERMISSION_DENIED", "103")),
        (lambda c: c.history("plain:x"), ("FAILED_PRECONDITION", "108")),
        (lambda c: c.call("Publish", b"\xff", edge_pb2.PublishResponse), ("INVALID_ARGUMENT", "3501")),
        (lambda c: c.call("Presence", b"", edge_pb2.PublishResponse), ("UNIMPLEMENTED", "")),
        (lambda c: c.publish("x", b"1" * 100_000), ("RESOURCE_EXHAUSTED", "")),
    ],
)
def test_calls_fail_with_a_status(here: Caller, call: Any, status: tuple[str, str]) -> None:
    """What was wrong decides the code."""
    with pytest.raises(grpc.RpcError) as failed:
        call(here)
    assert status_of(failed.value) == status


@pytest.mark.parametrize(
    "bad",
    ["nonsense", jwt.encode({"sub": "ann"}, "another key of thirty-two bytes!!", "HS256"), token(exp=1)],
)
def test_a_bad_token_is_unauthenticated(mixed: Cluster, bad: str) -> None:
    """On streams and on calls, without the token in the reason."""
    with Caller(mixed.nodes[1].grpc, bad) as caller:
        errors: list[Any] = [caller.subscribe("x").end()]
        with pytest.raises(grpc.RpcError) as failed:
            caller.publish("x", b"1")
        errors.append(failed.value)
        todo, sent = commands(CONNECT_COMMAND)
        stream = caller.connect(sent)
        reply = next(stream)
        # An expired token is an answer that SDKs know what to do with.
        assert reply.error.code == 109 or reply.push.disconnect.code == 3500
        stream.cancel()
        todo.put(None)
    for error in errors:
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert bad not in error.details()


def test_a_token_says_who_publishes(mixed: Cluster, here: Caller, channel: str) -> None:
    """Others see its user and what it says of him."""
    stream = here.subscribe(channel)
    stream.next("subscribed")
    with Caller(mixed.nodes[2].grpc, token(info={"name": "Ann"}, exp=time.time() + 60)) as ann:
        ann.publish(channel, b"1")
        publisher = stream.next("publication").publisher
        assert (publisher.user, json.loads(publisher.info)) == ("ann", {"name": "Ann"})
        todo, sent = commands(CONNECT_COMMAND, subscribe_command(channel))
        replies = ann.connect(sent)
        connected, _ = answer(replies, todo), answer(replies, todo)
        publish = client_pb2.PublishRequest(channel=channel, data=b"2")
        todo.put(client_pb2.Command(id=3, publish=publish))
        publisher = stream.next("publication").publisher
        assert (publisher.user, publisher.client) == ("ann", connected.connect.client)
        todo.put(None)


def test_the_client_protocol_runs_over_a_bidirectional_stream(here: Caller, channel: str) -> None:
    """Commands are answered in order; pings want their pongs; the client's end is a good end."""
    todo, sent = commands(CONNECT_COMMAND, subscribe_command(channel))
    replies = here.connect(sent)
    assert answer(replies, todo).connect.ping == 2
    assert answer(replies, todo).subscribe.recoverable
    here.publish(channel, b"1")
    assert answer(replies, todo).push.pub.data == b"1"
    for _ in range(2):
        assert next(replies) == client_pb2.Reply()
        todo.put(client_pb2.Command())
    todo.put(client_pb2.Command(id=3, history=client_pb2.HistoryRequest(channel=channel, limit=-1)))
    reply = answer(replies, todo)
    assert (reply.id, len(reply.history.publications)) == (3, 1)
    todo.put(None)
    assert all(reply == client_pb2.Reply() for reply in replies)
    assert replies.code() is grpc.StatusCode.OK


def test_without_a_pong_the_stream_ends(here: Caller) -> None:
    """Its client may be dead: it is told to come back, and how long to wait."""
    todo, sent = commands(CONNECT_COMMAND)
    replies = here.connect(sent)
    with pytest.raises(grpc.RpcError) as failed:
        assert [reply.push.disconnect.code for reply in replies][-1] == 3012
    todo.put(None)
    assert status_of(failed.value) == ("UNAVAILABLE", "3012")
    assert 500 <= int(dict(failed.value.trailing_metadata())["retry-after-ms"]) <= 1500


@pytest.mark.parametrize("message", [b"\xff", CONNECT_COMMAND.SerializeToString() + b"\x0a"])
def test_broken_commands_end_the_stream(here: Caller, message: bytes) -> None:
    """A message that is no command, and only its stream, is over."""
    todo, sent = commands()
    todo.put(message)
    replies = here.connect(sent)
    with pytest.raises(grpc.RpcError) as failed:
        list(replies)
    todo.put(None)
    assert status_of(failed.value) == ("INVALID_ARGUMENT", "3501")


def test_a_deadline_of_the_client_is_kept(here: Caller, channel: str) -> None:
    """The stream ends at the moment the client gave."""
    call = here.channel.unary_stream(EDGE + "Subscribe")
    asked = edge_pb2.SubscribeRequest(channels=[edge_pb2.ChannelRequest(channel=channel)])
    with pytest.raises(grpc.RpcError) as failed:
        list(call(asked.SerializeToString(), timeout=0.5))
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
