"""`/ws` as a person without an SDK meets it."""

import json
from typing import Any

import structlog
import trio
import trio_websocket
from jwt import encode as sign

from node.config.options import ClientOptions, Duration, TokenOptions
from tests.node.transports.served import Served, served
from tests.node.transports.test_websocket import dial as dial_raw

_SECRET = "0123456789abcdef0123456789abcdef"


async def texts(ws: trio_websocket.WebSocketConnection, count: int) -> list[Any]:
    return [json.loads(await ws.get_message()) for _ in range(count)]


def dial(node: Served, query: str = "", **options: Any) -> Any:
    return trio_websocket.open_websocket_url(f"ws://127.0.0.1:{node.port}/ws{query}", **options)


async def test_subscribe_publish_and_recover_in_plain_json() -> None:
    """Connecting is implicit; every message has a type, and missed publications come after a `recover`."""
    async with served() as node, dial(node) as ws:
        assert (await texts(ws, 1))[0]["type"] == "connected"
        await ws.send_message('{"type":"subscribe","channel":"past:a","id":"s1"}')
        (subscribed,) = await texts(ws, 1)
        assert (subscribed["type"], subscribed["id"]) == ("subscribed", "s1")
        await ws.send_message('{"type":"publish","channel":"past:a","data":{"n":1}}')
        got = {message["type"]: message for message in await texts(ws, 2)}
        assert got["publication"]["data"] == {"n": 1}
        assert got["published"]["channel"] == "past:a"
        async with dial(node) as again:
            position = {"epoch": subscribed["epoch"], "offset": subscribed["offset"]}
            await again.send_message(
                json.dumps({"type": "subscribe", "channel": "past:a", "recover": position})
            )
            _, recovered, missed = await texts(again, 3)
            assert recovered["recovered"] is True
            assert missed["data"] == {"n": 1}


async def test_a_mistake_is_answered_and_costs_nothing() -> None:
    """A person types again: the connection stays; the operator sees a number and a line."""
    async with served() as node, dial(node) as ws:
        with structlog.testing.capture_logs() as logs:
            await ws.send_message("hello")
            await ws.send_message('{"type":"ping","id":7}')
            _, complaint, pong = await texts(ws, 3)
        assert node.parts.metrics.malformed == {"ws": 1}
        assert [(line["event"], line["reason"]) for line in logs] == [
            ("malformed message", "is not a JSON object")
        ]
        assert logs[0]["rate_limited"]
        assert (complaint["type"], complaint["code"]) == ("error", 107)
        assert pong == {"type": "pong", "id": 7}


async def test_the_token_comes_with_the_request() -> None:
    """By `?token=`, as browsers must, or as a bearer token; without one the client is closed."""
    async with served(ClientOptions(token=TokenOptions(hmac_secret_key=_SECRET))) as node:
        token = sign({"sub": "42"}, _SECRET, "HS256")
        async with dial(node, f"?token={token}") as ws:
            assert (await texts(ws, 1))[0]["type"] == "connected"
        bearer = [("Authorization", f"Bearer {token}")]
        async with dial(node, extra_headers=bearer) as ws:
            assert (await texts(ws, 1))[0]["type"] == "connected"
        nobody = await dial_raw(node, "/ws")
        assert await nobody.closed_with() == (3501, "bad request: no token")


async def test_pings_are_native_and_answered_by_every_client(autojump_clock: trio.testing.MockClock) -> None:
    """A client of another make stays connected over several pings without knowing of them."""
    options = ClientOptions(insecure=True, ping_interval=Duration(0.2), pong_timeout=Duration(0.1))
    async with served(options) as node, dial(node) as ws:
        await ws.send_message('{"type":"subscribe","channel":"news"}')
        await texts(ws, 2)
        for number in range(3):
            await trio.sleep(5)
            await node.publish("news", b"%d" % number)
            assert (await texts(ws, 1))[0]["data"] == number
        assert node.parts.metrics.closes == {}
