"""Clients that do not read, and crowds that do not stay."""

import itertools
from collections.abc import Awaitable, Callable

import pytest
import trio

from tests.integration.cluster import API_KEY, NodeProcess
from tests.integration.hostile.undisturbed import metrics
from tests.integration.raw import CONNECT, Raw
from tests.patience import PATIENCE_S

KEY_FIELD = f"X-API-Key: {API_KEY}"


async def read_nothing_over_websocket(raw: Raw) -> None:
    """Subscribe over WebSocket."""
    await raw.connected()
    await raw.send_text('{"id":2,"subscribe":{"channel":"news"}}')
    await raw.frame()


async def read_nothing_over_sse(raw: Raw) -> None:
    """Subscribe over an event stream."""
    await raw.request("GET /sse?channel=news HTTP/1.1\nHost: test")
    assert (await raw.answer()).status == 200
    while (await raw.event()).get("event") != "subscribed":
        pass


async def read_nothing_over_http_stream(raw: Raw) -> None:
    """Subscribe over a stream whose commands would come as POSTs."""
    body = f'{CONNECT}\n{{"id":2,"subscribe":{{"channel":"news"}}}}'.encode()
    await raw.request(f"POST /connection/http_stream HTTP/1.1\nHost: test\nContent-Length: {len(body)}", body)
    assert (await raw.answer()).status == 200
    while '"subscribe":' not in await raw.line():
        pass


async def share_the_connection(raw: Raw) -> None:
    """Have another request served on the connection, so that a different server has it from then on."""
    await raw.request("GET /livez HTTP/1.1\nHost: test")
    await raw.body(await raw.answer())


@pytest.mark.parametrize(
    "shared", [pytest.param(False, id="own"), pytest.param(True, id="shared", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "subscribe", [read_nothing_over_websocket, read_nothing_over_sse, read_nothing_over_http_stream]
)
async def test_a_client_that_never_reads_is_closed(
    node: NodeProcess, subscribe: Callable[[Raw], Awaitable[None]], shared: bool
) -> None:
    """More than it may have waiting for it: it is closed as slow, counted, and let go."""
    async with (
        await Raw.open(node.http) as asking,
        await Raw.open(node.http, receive_bytes=4096) as deaf,
    ):
        if shared:
            await share_the_connection(deaf)
        before = await metrics(asking)
        await subscribe(deaf)
        for _ in range(40):
            await asking.post("/api/publish", {"channel": "news", "data": "x" * 500_000}, KEY_FIELD)
            if (await metrics(asking))["broadcast_slow_clients_total"] > before[
                "broadcast_slow_clients_total"
            ]:
                break
        after = await metrics(asking)
        closes = 'broadcast_closes_total{code="3008",reason="slow"}'
        assert after["broadcast_slow_clients_total"] == before["broadcast_slow_clients_total"] + 1
        assert after[closes] == before.get(closes, 0) + 1
        with trio.fail_after(PATIENCE_S):
            while after["broadcast_door_connections"] == before["broadcast_door_connections"]:
                await trio.sleep(0.02)
                after = await metrics(asking)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_500_connections_that_come_and_go(node: NodeProcess, how: str) -> None:
    """Dropped at any point, half a request or subscribed, in crowds: nothing of them stays."""
    stages = itertools.cycle(
        [
            nothing,
            half_a_head,
            read_nothing_over_websocket,
            read_nothing_over_sse,
            read_nothing_over_http_stream,
        ]
    )

    async def come_and_go(stage: Callable[[Raw], Awaitable[None]]) -> None:
        async with await Raw.open(node.http) as raw:
            await stage(raw)
            if how == "reset":
                raw.reset()

    for _ in range(5):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(come_and_go, next(stages))


async def nothing(raw: Raw) -> None:
    """Say nothing."""


async def half_a_head(raw: Raw) -> None:
    """Begin a request."""
    await raw.send(b"GET /livez HTTP/1.1\r\n")
