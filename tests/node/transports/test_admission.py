"""Who gets a session, and how the others are answered."""

import structlog

from node.config.options import ClientOptions
from tests.node.transports.event_source import EventSource
from tests.node.transports.served import served


async def test_a_full_node_is_a_closed_node() -> None:
    """`client.connection_limit` sends further clients away as stopping does, until somebody leaves."""
    async with served(ClientOptions(insecure=True, connection_limit=1)) as node:
        first = await EventSource.open(node, "/sse?channel=news")
        await first.event()
        with structlog.testing.capture_logs() as logs:
            assert await (await EventSource.open(node, "/sse?channel=news")).rest() == []
        assert [line["reason"] for line in logs] == ["not_accepting"]
        assert node.parts.metrics.refused == {"not_accepting": 1}
        await first.stream.aclose()
        await node.empty()
        third = await EventSource.open(node, "/sse?channel=news")
        assert (await third.event()).type == "connected"


async def test_too_many_at_once_are_sent_away_for_a_while() -> None:
    """`client.connection_rate_limit`: 503 and Retry-After, for an EventSource 200 and `retry:`; counted."""
    async with served(ClientOptions(insecure=True, connection_rate_limit=4)) as node:
        first = await EventSource.open(node, "/sse?channel=news")
        assert (await first.event()).type == "connected"
        socket = await node.connect()
        await socket.send_all(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = await socket.receive_some()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        assert await (await EventSource.open(node, "/sse?channel=news")).rest() == []
        assert node.parts.metrics.refused == {"connection_rate": 2}


async def test_a_refusal_says_why_and_keeps_the_connection() -> None:
    """The body names what to change; a request without a body leaves the connection in order."""
    async with served() as node:
        with structlog.testing.capture_logs() as logs:
            source = await EventSource.open(node, "/sse")
        assert [(line["event"], line["rate_limited"]) for line in logs] == [("request refused", "channel")]
        assert source.body == b"name at least one channel: /sse?channel=news\n"
        await source.stream.send_all(b"GET /sse?channel=nowhere:a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await source.stream.receive_some()).startswith(b"HTTP/1.1 404 ")
        assert node.parts.metrics.refused["channel"] == 2
