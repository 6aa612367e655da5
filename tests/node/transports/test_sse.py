"""Event streams read by an independent parser, against a whole node over loopback."""

import json
from contextlib import suppress
from urllib.parse import quote

import pytest
import trio
import trio.testing
from jwt import encode as sign

from node.config.options import ClientOptions, Duration, TokenOptions
from node.protocol.reasons import SHUTDOWN
from node.transports.plain_sse import _BY_EPOCH
from tests.node.transports.event_source import EventSource
from tests.node.transports.served import Served, served

_UNI = "/connection/uni_sse"


async def subscribed(node: Served, target: str, *fields: str, count: int = 1) -> EventSource:
    """A stream with `count` channels, all of whose first events were read."""
    source = await EventSource.open(node, target, *fields)
    assert (await source.event()).type == "connected"
    for _ in range(count):
        assert (await source.event()).type == "subscribed"
    return source


async def test_publications_are_message_events_and_the_rest_has_names() -> None:
    """`onmessage` gets what was published; the stream is not to be stored or collected on its way."""
    async with served() as node:
        source = await EventSource.open(node, "/sse?channel=news")
        assert source.header("Content-Type") == "text/event-stream; charset=utf-8"
        assert "no-store" in source.header("Cache-Control")
        assert source.header("X-Accel-Buffering") == "no"
        assert (await source.event()).type == "connected"
        assert (await source.event()).json == {"type": "subscribed", "channel": "news"}
        await node.publish("news", b'{"text":"gr\\u00fc\xc3\x9fe"}')
        event = await source.event()
        assert (event.type, event.id) == ("message", "")
        assert event.json == {"type": "publication", "channel": "news", "data": {"text": "grüße"}}
        assert 1000 <= (source.parser.retry_ms or 0) <= 2000


async def test_clients_of_one_channel_share_bytes_and_ids() -> None:
    """With one channel the id is that channel's position; the hub encodes once for all of them."""
    async with served() as node:
        sources = [await subscribed(node, "/sse?channel=past:a") for _ in range(3)]
        framings = {id(member.framing) for member in node.parts.hub.members("past:a")}
        assert len(framings) == 1
        await node.publish("past:a", b"1")
        ids = {(await source.event()).id for source in sources}
        assert len(ids) == 1
    del sources
    assert not _BY_EPOCH


async def test_a_stream_goes_on_where_the_last_one_ended() -> None:
    """Last-Event-ID recovers every publication that was missed, each with its own id, once."""
    async with served() as node:
        first = await subscribed(node, "/sse?channel=past:a")
        await node.publish("past:a", b"1")
        assert (await first.event()).json["data"] == 1
        await first.stream.aclose()
        for number in (2, 3):
            await node.publish("past:a", str(number).encode())
        second = await EventSource.open(node, "/sse?channel=past:a", f"Last-Event-ID: {first.parser.last_id}")
        await second.event()
        assert (await second.event()).json["recovered"] is True
        assert (await second.event()).json["data"] == 2
        # Cut between two recovered events: the id says so.
        after_two = await EventSource.open(
            node, f"/sse?channel=past:a&last_event_id={quote((await second.event()).id)}"
        )
        await after_two.event()
        assert (await after_two.event()).json["recovered"] is True
        await node.publish("past:a", b"4")
        assert (await after_two.event()).json["data"] == 4


async def test_a_recovery_may_be_longer_than_what_may_wait() -> None:
    """A client that missed much is not slow: taken for that, it would come back for the same for ever."""
    async with served(ClientOptions(insecure=True, queue_max_size=1000)) as node:
        first = await subscribed(node, "/sse?channel=past:a")
        await node.publish("past:a", b"0")
        await first.event()
        await first.stream.aclose()
        for _ in range(10):
            await node.publish("past:a", b'"%b"' % (b"x" * 300))
        second = await EventSource.open(node, "/sse?channel=past:a", f"Last-Event-ID: {first.parser.last_id}")
        events = [await second.event() for _ in range(12)]
        assert [event.type for event in events] == ["connected", "subscribed", *["message"] * 10]


async def test_ids_of_several_channels_hold_all_positions() -> None:
    """Whichever event was the last one, its id recovers all channels."""
    async with served() as node:
        target = "/sse?channel=past:a&channel=past:b&channel=news"
        first = await subscribed(node, target, count=3)
        await node.publish("past:a", b"1")
        await node.publish("past:b", b"2")
        await node.publish("news", b"3")
        got = {(await first.event()).json["data"] for _ in range(3)}
        assert got == {1, 2, 3}
        await first.stream.aclose()
        await node.publish("past:a", b"4")
        await node.publish("past:b", b"5")
        second = await EventSource.open(node, target, f"Last-Event-ID: {first.parser.last_id}")
        events = [await second.event() for _ in range(6)]
        assert [event.json["data"] for event in events if event.type == "message"] == [4, 5]
        assert [event.json.get("recovered") for event in events if event.type == "subscribed"] == [
            True,
            True,
            None,
        ]


async def test_a_cut_after_any_event_of_a_recovery_loses_and_doubles_nothing() -> None:
    """Ids never run ahead of what was sent, also while other channels are not subscribed yet."""
    async with served() as node:
        target = "/sse?channel=past:a&channel=past:b"
        first = await subscribed(node, target, count=2)
        for number in range(4):
            await node.publish(f"past:{'ab'[number % 2]}", str(number).encode())
        seen = await EventSource.open(node, target, f"Last-Event-ID: {first.parser.last_id}")
        events = [await seen.event() for _ in range(7)]
        for cut, event in enumerate(events):
            if not event.id:
                continue
            have = [e.json["data"] for e in events[: cut + 1] if e.type == "message"]
            again = await EventSource.open(node, target, f"Last-Event-ID: {event.id}")
            rest = [await again.event() for _ in range(7 - len(have))]
            missed = [e.json["data"] for e in rest if e.type == "message"]
            assert sorted(have + missed) == [0, 1, 2, 3]
            await again.stream.aclose()


async def test_an_id_that_is_not_ours_is_told_as_a_loss() -> None:
    """An EventSource that is refused never comes back: it gets the stream and `recovered: false`."""
    async with served() as node:
        source = await EventSource.open(node, "/sse?channel=past:a", "Last-Event-ID: 17")
        await source.event()
        assert (await source.event()).json["recovered"] is False


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/sse", 400),
        ("/sse?channel=", 400),
        ("/sse?channel=a%0Ab", 400),
        ("/sse?channel=nowhere:a", 404),
        ("/sse?" + "&".join(f"channel=c{number}" for number in range(200)), 400),
        ("/sse?" + "&".join(f"channel=past:{number:0200}" for number in range(60)), 400),
        (f"{_UNI}?cf_connect=nonsense", 400),
    ],
)
async def test_a_wrong_request_has_a_status(target: str, status: int) -> None:
    """What coming back would not change is an HTTP status, before anything of a session exists."""
    async with served() as node:
        source = await EventSource.open(node, target)
        assert source.status == status
        assert len(node.parts.sessions) == 0


async def test_who_may_not_is_told_so_by_a_status() -> None:
    """No token: 401; a channel that is not for clients: 403, also if another one would be."""
    secret = "0123456789abcdef0123456789abcdef"
    async with served(ClientOptions(token=TokenOptions(hmac_secret_key=secret))) as node:
        token = sign({"sub": "42"}, secret, "HS256")
        assert (await EventSource.open(node, "/sse?channel=news")).status == 401
        assert (await EventSource.open(node, "/sse?channel=news&token=forged")).status == 401
        assert (await EventSource.open(node, f"/sse?channel=news&token={token}")).status == 403
        bearer = f"Authorization: Bearer {token}"
        both = await EventSource.open(node, "/sse?channel=open:a&channel=news", bearer)
        assert both.status == 403
        await node.empty()
        await subscribed(node, "/sse?channel=open:a", bearer)


async def test_a_node_that_stops_ends_the_stream_and_says_when_to_come_back() -> None:
    """Never a status: the browser would give up for good."""
    async with served() as node:
        node.open = False
        for target in ("/sse?channel=news", _UNI):
            source = await EventSource.open(node, target)
            assert source.status == 200
            assert await source.rest() == []
            assert 1000 <= (source.parser.retry_ms or 0) <= 2000
        assert node.parts.metrics.refused["not_accepting"] == 2


async def test_closing_is_an_event_and_the_end() -> None:
    """The reason travels as an event, after everything published before, and with a time to stay away."""
    async with served() as node:
        plain = await subscribed(node, "/sse?channel=news")
        uni = await EventSource.open(node, _UNI)
        await uni.event()
        await node.publish("news", b"1")
        await trio.testing.wait_all_tasks_blocked()
        node.close_all(SHUTDOWN)
        message, goodbye = await plain.rest()
        assert message.json["data"] == 1
        assert goodbye.type == "disconnect"
        assert goodbye.json == {"type": "disconnect", "code": 3001, "reason": "shutdown", "reconnect": True}
        (goodbye,) = await uni.rest()
        assert goodbye.json == {"disconnect": {"code": 3001, "reason": "shutdown"}}


async def test_a_lost_subscription_ends_the_stream_so_that_it_comes_back() -> None:
    """An EventSource cannot subscribe again: it reconnects, and recovers from its id."""
    async with served() as node:
        source = await subscribed(node, "/sse?channel=past:a")
        (subscription,) = node.parts.hub.members("past:a")
        subscription.subscriber.subscription_lost(subscription)
        (goodbye,) = await source.rest()
        assert (goodbye.type, goodbye.json["code"]) == ("disconnect", 3010)


async def test_pings_keep_both_kinds_of_streams_alive(autojump_clock: trio.testing.MockClock) -> None:
    """A comment for plain clients; an empty push for the client protocol, which announces it."""
    async with served(
        ClientOptions(insecure=True, ping_interval=Duration(0.1), pong_timeout=Duration(0.05))
    ) as node:
        uni = await EventSource.open(node, _UNI)
        assert (await uni.event()).json["connect"]["ping"] == 1
        assert (await uni.event()).json == {}
        plain = await subscribed(node, "/sse?channel=news")
        while not plain.parser.comments:
            await plain._receive()


async def test_uni_sse_subscribes_to_what_the_connect_request_names() -> None:
    """By GET and by POST; what follows are bare pushes without names and ids."""
    request = json.dumps({"subs": {"past:a": {}}})
    async with served() as node:
        for source in (
            await EventSource.open(node, f"{_UNI}?cf_connect={quote(request)}"),
            await EventSource.open(
                node, _UNI, f"Content-Length: {len(request)}", method="POST", body=request.encode()
            ),
        ):
            connect = (await source.event()).json["connect"]
            assert connect["subs"]["past:a"]["recoverable"] is True
            await node.publish("past:a", b'{"n":1}')
            event = await source.event()
            assert (event.type, event.id) == ("message", "")
            assert event.json["channel"] == "past:a"
            assert event.json["pub"]["data"] == {"n": 1}
            await source.stream.aclose()


async def test_a_body_that_is_too_long_or_half_is_refused() -> None:
    """413 before it is read, 408 when the client ends its side."""
    async with served() as node:
        assert (await EventSource.open(node, _UNI, "Content-Length: 65537", method="POST")).status == 413
        stream = await node.connect()
        await stream.send_all(f"POST {_UNI} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{{}}".encode())
        await stream.send_eof()
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 408 ")


async def test_pages_of_allowed_origins_may_read() -> None:
    """CORS: the origin is echoed, a preflight answered; other origins get 403 and no permission."""
    async with served() as node:
        good = "Origin: https://good.example"
        source = await EventSource.open(node, "/sse?channel=news", good)
        assert source.header("Access-Control-Allow-Origin") == "https://good.example"
        evil = await EventSource.open(node, "/sse?channel=news", "Origin: https://evil.example")
        assert (evil.status, evil.header("Access-Control-Allow-Origin")) == (403, "")
        preflight = await EventSource.open(
            node, _UNI, good, "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type", method="OPTIONS",
        )  # fmt: skip
        assert preflight.status == 200
        assert preflight.header("Access-Control-Allow-Headers") == "content-type"
        assert (await EventSource.open(node, "/sse?channel=news", method="POST")).status == 405


async def test_a_client_that_goes_is_forgotten() -> None:
    """The end of the client's side is the end; so is too much of what it has no business to say."""
    async with served() as node:
        silent = await subscribed(node, "/sse?channel=news")
        await silent.stream.send_eof()
        await node.empty()
        talkative = await subscribed(node, "/sse?channel=news")
        with suppress(trio.BrokenResourceError):
            await talkative.stream.send_all(bytes(200_000))
        await node.empty()
        assert node.parts.hub.channels == 0


async def test_a_client_that_does_not_read_is_told_so_when_it_does() -> None:
    """Promise 3 holds here too: behind the last whole event comes the reason."""
    async with served(ClientOptions(insecure=True, queue_max_size=50_000)) as node:
        source = await subscribed(node, "/sse?channel=news")
        while not node.parts.metrics.closes:
            await node.publish("news", b'"' + b"x" * 40_000 + b'"')
            await trio.testing.wait_all_tasks_blocked()
        *messages, goodbye = await source.rest()
        assert all(len(message.json["data"]) == 40_000 for message in messages)
        assert goodbye.json["code"] == 3008
