"""One client from accept to close: what it is answered, when it is pinged, and how it ends."""

import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import structlog
import trio
from trio.testing import MockClock

from node.access.tokens import make_token
from node.commands import handle
from node.config.options import TokenOptions
from node.history.recovery import Joined
from node.hub import Subscription
from node.protocol import reasons
from node.protocol.messages import Reply, StreamPosition
from tests.node.node_in_memory import Client, MemoryNode, command, memory_node

HMAC_KEY = "k" * 32


@pytest.fixture
async def node(autojump_clock: MockClock) -> AsyncIterator[MemoryNode]:
    async with memory_node() as node:
        yield node


async def until_pinged(client: Client) -> None:
    """Let time pass until a ping comes, a ping interval at most."""
    with trio.fail_after(25.2):
        await client.pinged.wait()
    client.pinged = trio.Event()


def codes(client: Client) -> list[int]:
    """The error codes of the replies, and the codes of the goodbyes."""
    replies = [got.error.code for got in client.got if isinstance(got, Reply) and got.error]
    return replies + [got.code for got in client.got if isinstance(got, reasons.DisconnectReason)]


async def test_connect_answers_who_the_client_is_and_when_it_is_pinged(node: MemoryNode) -> None:
    """The first reply has the client's id, the version and the ping interval."""
    session, client = node.session()
    await handle(session, command({"id": 1, "connect": {}}))
    (reply,) = client.got
    assert (reply.id, reply.connect.client, reply.connect.version) == (1, session.client, "0")
    assert (reply.connect.ping, reply.connect.pong, reply.connect.expires) == (25, True, False)


async def test_every_client_has_an_identifier_of_the_usual_form(node: MemoryNode) -> None:
    """A random UUID, as backends that keep them in columns of that type expect."""
    clients = [node.session()[0].client for _ in range(50)]
    assert all(str(UUID(client)) == client and UUID(client).version == 4 for client in clients)
    assert len(set(clients)) == 50


async def test_a_command_before_connect_closes_the_client(node: MemoryNode) -> None:
    """Nothing but connect is served first, not even a pong."""
    for early in ({"id": 1, "subscribe": {"channel": "news"}}, {}):
        session, client = node.session()
        await handle(session, command(early))
        assert codes(client) == [3501]
        await handle(session, command({"id": 2, "connect": {}}))
        assert len(client.got) == 1


async def test_a_client_that_never_connects_is_closed_as_stale(
    autojump_clock: MockClock, node: MemoryNode
) -> None:
    """Silence after the handshake ends with 3502, and with force if the client does not go."""
    session, client = node.session()
    await trio.sleep(10.2)
    assert codes(client) == [3502]
    assert not client.aborted
    await trio.sleep(5.2)
    assert client.aborted
    session.end()
    session.end()
    assert node.metrics.connected["fake"] == 0


async def test_pings_come_regularly_and_a_missing_pong_closes(
    autojump_clock: MockClock, node: MemoryNode
) -> None:
    """A client that answers lives; one that does not is closed with 3012 after pong_timeout."""
    session, client = await node.connected()
    for _ in range(3):
        await until_pinged(client)
        await handle(session, command({}))
        assert client.take() == ["ping"]
    await until_pinged(client)
    await trio.sleep(9)
    assert codes(client) == [3012]


async def test_a_unidirectional_client_is_pinged_and_owes_nothing(
    autojump_clock: MockClock, node: MemoryNode
) -> None:
    """Without a way back there is no pong to miss."""
    session, client = node.session(unidirectional=True)
    await handle(session, command({"id": 1, "connect": {}}))
    assert client.take()[0].push.connect.pong is False
    await trio.sleep(100)
    assert set(client.got) == {"ping"}
    assert len(client.got) == 4


async def test_publications_follow_the_subscribe_reply(node: MemoryNode) -> None:
    """The reply tells the position, and what is published afterwards comes behind it."""
    session, client = await node.connected()
    await node.publisher.publish("news", b'"early"')
    await handle(session, command({"id": 2, "subscribe": {"channel": "news"}}))
    await node.publisher.publish("news", b'"late"')
    await trio.testing.wait_all_tasks_blocked()
    reply, publication = client.got
    assert publication == 'news "late"'
    result = reply.subscribe
    assert (result.recoverable, result.positioned, result.recovered) == (True, True, False)
    assert result.epoch
    assert result.publications == ()


async def test_a_client_recovers_what_it_missed_in_the_reply(node: MemoryNode) -> None:
    """Coming back with a position brings the missed publications, in order, and `recovered: true`."""
    session, client = await node.connected()
    await handle(session, command({"id": 2, "subscribe": {"channel": "news"}}))
    position = client.take()[0].subscribe
    session.end()
    for number in range(3):
        await node.publisher.publish("news", str(number).encode())
    again, client = await node.connected()
    since = {"recover": True, "epoch": position.epoch, "offset": position.offset}
    await handle(again, command({"id": 2, "subscribe": {"channel": "news", **since}}))
    result = client.got[0].subscribe
    assert (result.recovered, result.was_recovering, result.offset) == (True, True, position.offset)
    assert [bytes(publication.data) for publication in result.publications] == [b"0", b"1", b"2"]


async def test_an_unknown_position_is_not_recovered_or_refused_as_the_client_wishes(
    node: MemoryNode,
) -> None:
    """Another epoch is `recovered: false`, or error 112 for a client that asked for it."""
    session, client = await node.connected()
    since = {"channel": "news", "recover": True, "epoch": "other", "offset": 1}
    await handle(session, command({"id": 2, "subscribe": {**since, "flag": 2}}))
    await handle(session, command({"id": 3, "subscribe": since}))
    refused, granted = client.got
    assert refused.error.code == 112
    assert (granted.subscribe.recovered, granted.subscribe.was_recovering) == (False, True)


@pytest.mark.parametrize(
    ("request_fields", "expected"),
    [
        ({"subscribe": {"channel": "news"}}, 105),
        ({"subscribe": {"channel": "closed:a"}}, 103),
        ({"subscribe": {"channel": "nowhere:a"}}, 102),
        ({"subscribe": {"channel": "a" * 256}}, 107),
        ({"subscribe": {"channel": "ünicode"}}, 107),
        ({"subscribe": {"channel": "other", "type": 1}}, 108),
        ({"subscribe": {"channel": "other", "token": "t"}}, 103),
        ({"subscribe": {"channel": "other", "tf": {"key": "k", "cmp": "eq"}}}, 107),
        ({"subscribe": {"channel": "other", "delta": "unheard-of"}}, 3501),
        ({"subscribe": {}}, 3501),
        ({"publish": {"channel": "closed:a", "data": 1}}, 103),
        ({"publish": {"channel": "news"}}, 107),
        ({"history": {"channel": "plain:a"}}, 108),
        ({"presence": {"channel": "news"}}, 108),
        ({"presence_stats": {"channel": "news"}}, 108),
        ({"rpc": {"method": "any"}}, 108),
        ({"send": {"data": 1}}, 3508),
        ({"ping": {}}, 3501),
        ({"connect": {}}, 3501),
        ({"refresh": {}}, 3501),
        ({"sub_refresh": {"channel": "other"}}, 103),
        ({"sub_refresh": {"channel": "news"}}, 3501),
    ],
)
async def test_what_cannot_be_served_gets_the_protocols_code(
    node: MemoryNode, request_fields: dict[str, dict[str, object]], expected: int
) -> None:
    """An error reply where the session can go on, a disconnect where the client broke the protocol."""
    session, client = await node.connected()
    await handle(session, command({"id": 2, "subscribe": {"channel": "news"}}))
    client.take()
    await handle(session, command({"id": 3, **request_fields}))
    assert codes(client) == [expected]
    assert session.closed == (expected >= 3000)


async def test_unsubscribing_ends_publications_and_is_always_answered(node: MemoryNode) -> None:
    """Leaving twice is no error, and nothing comes after the first."""
    session, client = await node.connected()
    await handle(session, command({"id": 2, "subscribe": {"channel": "news"}}))
    await handle(session, command({"id": 3, "unsubscribe": {"channel": "news"}}))
    await handle(session, command({"id": 4, "unsubscribe": {"channel": "news"}}))
    await node.publisher.publish("news", b"1")
    await trio.testing.wait_all_tasks_blocked()
    assert [reply.id for reply in client.got] == [2, 3, 4]
    assert node.hub.channels == 0


async def test_a_client_publishes_with_its_identity_and_reads_history(node: MemoryNode) -> None:
    """What a client publishes carries who it is; history shows it with its position."""
    session, client = await node.connected()
    await handle(session, command({"id": 2, "publish": {"channel": "news", "data": {"a": 1}}}))
    await handle(session, command({"id": 3, "history": {"channel": "news", "limit": -1}}))
    published, page = client.got
    assert published.publish is not None
    (publication,) = page.history.publications
    assert bytes(publication.data) == b'{"a":1}'
    assert publication.info.client == session.client
    assert publication.offset == page.history.offset


async def test_too_many_subscriptions_are_refused(autojump_clock: MockClock) -> None:
    """The limit of one connection is an error for the next subscription only."""
    async with memory_node(client__channel_limit=2) as node:
        session, client = await node.connected()
        for number in range(3):
            await handle(session, command({"id": number + 2, "subscribe": {"channel": f"c{number}"}}))
        assert codes(client) == [106]


async def test_a_lost_subscription_is_told_and_can_be_made_again(node: MemoryNode) -> None:
    """Insufficient state is unsubscribe 2500, once; the session and its other channels go on."""
    session, client = await node.connected()
    await handle(session, command({"id": 2, "subscribe": {"channel": "news"}}))
    subscription = session.subscriptions["news"]
    client.take()
    session.subscription_lost(subscription)
    session.subscription_lost(subscription)
    (reply,) = client.got
    assert (reply.push.channel, reply.push.unsubscribe.code) == ("news", 2500)


async def test_a_channel_a_unidirectional_client_does_not_get_is_logged(node: MemoryNode) -> None:
    """The connect push only leaves it out: the operator sees the code and the reason."""
    session, _ = node.session(unidirectional=True)
    with structlog.testing.capture_logs() as logs:
        await handle(session, command({"id": 1, "connect": {"subs": {"closed:a": {}}}}))
    assert [(line["event"], line["code"]) for line in logs] == [("command refused", 103)]
    assert logs[0]["reason"]
    assert node.metrics.command_errors == {103: 1}


async def test_what_a_client_can_repeat_does_not_flood_the_log(
    node: MemoryNode, autojump_clock: MockClock
) -> None:
    """Refused commands, broken protocol and silence are logged with their reason, and rate limited."""
    with structlog.testing.capture_logs() as logs:
        session, _ = await node.connected()
        await handle(session, command({"id": 2, "subscribe": {"channel": "closed:a"}}))
        await handle(session, command({"id": 3, "subscribe": {}}))
        silent, _ = node.session()
        await trio.sleep(10.2)
        assert silent.closed
    said = [(line["event"], line["rate_limited"]) for line in logs if line["log_level"] != "debug"]
    assert said[:3] == [("command refused", 103), ("protocol error", 3501), ("client did not close", True)]
    assert ("client cut off", 3502) in said
    assert all(line["reason"] for line in logs if line["event"] != "client did not close")


async def test_a_slow_client_is_closed_and_counted(node: MemoryNode) -> None:
    """Too much waiting is 3008 for the client and a number for the operator."""
    session, client = await node.connected()
    with structlog.testing.capture_logs() as logs:
        session.slow()
    assert [line["rate_limited"] for line in logs if line["event"] == "slow client"] == [True]
    assert client.got == [reasons.SLOW]
    assert node.metrics.slow_clients == 1


async def test_closing_leaves_every_channel_and_says_why_once(node: MemoryNode) -> None:
    """A closed session gets its reason, no publication behind it, and leaves nothing in the hub."""
    session, client = await node.connected()
    await handle(session, command({"id": 2, "subscribe": {"channel": "news"}}))
    client.take()
    session.close(reasons.SHUTDOWN)
    session.close(reasons.SLOW)
    await node.publisher.publish("news", b"1")
    await trio.testing.wait_all_tasks_blocked()
    assert client.got == [reasons.SHUTDOWN]
    assert (node.hub.channels, len(node.parts.sessions)) == (0, 1)
    session.end()
    assert len(node.parts.sessions) == 0
    assert node.metrics.closes == {(3001, "shutdown"): 1}


async def test_a_token_expires_and_can_be_renewed(autojump_clock: MockClock) -> None:
    """A refreshed connection lives on; one that is not is closed with 3005 after its grace."""
    key = {"client__token__hmac_secret_key": HMAC_KEY}
    async with memory_node(**key, client__expired_close_delay=5) as node:
        options = TokenOptions(hmac_secret_key=HMAC_KEY)
        session, client = node.session(native_ping=True)
        token = make_token(options, "ann", now=time.time(), ttl_s=60)
        await handle(session, command({"id": 1, "connect": {"token": token}}))
        result = client.take()[0].connect
        assert result.expires
        assert 55 <= result.ttl <= 60
        await handle(session, command({"id": 2, "refresh": {"token": token}}))
        assert client.take()[0].refresh.expires
        other = make_token(options, "bob", now=time.time(), ttl_s=60)
        await handle(session, command({"id": 3, "refresh": {"token": other}}))
        assert codes(client) == [3500]


async def test_an_expired_connection_is_closed(autojump_clock: MockClock) -> None:
    """Nobody outlives its token by more than the grace."""
    key = {"client__token__hmac_secret_key": HMAC_KEY}
    async with memory_node(**key, client__expired_close_delay=5) as node:
        session, client = node.session(unidirectional=True)
        token = make_token(TokenOptions(hmac_secret_key=HMAC_KEY), "ann", now=time.time(), ttl_s=60)
        await handle(session, command({"id": 1, "connect": {"token": token}}))
        await trio.sleep(64)
        assert codes(client) == []
        await trio.sleep(2)
        assert codes(client) == [3005]


async def test_an_old_connection_is_sent_on_its_way(autojump_clock: MockClock) -> None:
    """At the maximum age, spread by a fifth to both sides, a client is told 3001 and comes back."""
    async with memory_node(client__connection_age_max_s=100) as node:
        clients = [(await node.connected(unidirectional=True))[1] for _ in range(50)]
        await trio.sleep(79)
        assert not any(codes(client) for client in clients)
        await trio.sleep(21)
        assert 10 <= sum(codes(client) == [3001] for client in clients) <= 40
        await trio.sleep(21)
        assert all(codes(client) == [3001] for client in clients)
        assert node.metrics.closes == {(3001, "connection age"): 50}


async def test_a_user_has_only_so_many_connections(autojump_clock: MockClock) -> None:
    """The limit of one user closes the next connection with 3504."""
    key = {"client__token__hmac_secret_key": HMAC_KEY, "client__user_connection_limit": 1}
    async with memory_node(**key) as node:
        token = make_token(TokenOptions(hmac_secret_key=HMAC_KEY), "ann", now=time.time(), ttl_s=60)
        one, _ = node.session()
        await handle(one, command({"id": 1, "connect": {"token": token}}))
        two, client = node.session()
        await handle(two, command({"id": 1, "connect": {"token": token}}))
        assert codes(client) == [3504]
        two.end()
        one.end()
        assert node.parts.sessions.users == 0


async def test_a_unidirectional_client_is_subscribed_by_its_connect(node: MemoryNode) -> None:
    """The connect push comes first and has the channels that are allowed; publications follow it."""
    session, client = node.session(unidirectional=True)
    subs = {"news": {}, "closed:a": {}, "plain:b": {}}
    await handle(session, command({"id": 1, "connect": {"subs": subs}}))
    await node.publisher.publish("plain:b", b"1")
    await trio.testing.wait_all_tasks_blocked()
    push, publication = client.got
    assert set(push.push.connect.subs) == {"news", "plain:b"}
    assert publication == "plain:b 1"


async def test_a_unidirectional_client_that_lost_something_comes_back(node: MemoryNode) -> None:
    """It has no command to subscribe again with: it is disconnected with 3010, also while it connects."""
    session, client = await node.connected(unidirectional=True, subs={"news": {}})
    session.subscription_lost(session.subscriptions["news"])
    assert codes(client) == [3010]
    early, client = node.session(unidirectional=True)
    joined = node.channels.join

    async def join_and_lose(subscription: Subscription, since: StreamPosition | None, arrived: int) -> Joined:
        result = await joined(subscription, since, arrived)
        if subscription.channel == "second":
            early.subscription_lost(early.subscriptions["first"])
        return result

    node.channels.join = join_and_lose  # type: ignore[method-assign]
    await handle(early, command({"id": 1, "connect": {"subs": {"first": {}, "second": {}}}}))
    assert client.got == [reasons.INSUFFICIENT_STATE]
