"""A node without its NATS server: before the first connection, and when the server dies later."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.cluster import API_KEY, Cluster, NodeProcess
from tests.integration.programs import broadcast
from tests.integration.raw import PING, PONG, Raw
from tests.nats_server import NatsServer, free_port
from tests.patience import PATIENCE_S

KEY_FIELD = f"X-API-Key: {API_KEY}"
REQUEST_DEADLINE_S = 3.0
NOT_REACHED = {"error": {"code": 100, "message": "internal server error"}}
BROKER = {
    "lost_max_s": "2s",
    "nats": {
        "request_deadline_s": f"{REQUEST_DEADLINE_S}s",
        "reconnect_delay_max_s": "0.2s",
        "ping_interval_s": "1s",
    },
}
AWAY = {"killed": (NatsServer.kill, NatsServer.start), "frozen": (NatsServer.freeze, NatsServer.thaw)}


async def readiness(raw: Raw) -> tuple[int, str]:
    """What /readyz answers."""
    await raw.request("GET /readyz HTTP/1.1\nHost: test")
    answer = await raw.answer()
    return answer.status, (await raw.body(answer)).decode()


async def until_ready(raw: Raw, wanted: int) -> str:
    """Ask until /readyz has this status; returns what it says then."""
    with trio.fail_after(PATIENCE_S):
        while (seen := await readiness(raw))[0] != wanted:  # noqa: ASYNC110 - the node tells nobody
            await trio.sleep(0.02)
    return seen[1]


async def publish(raw: Raw, value: object) -> dict[str, Any]:
    """Publish over the API; returns the answer, which must not take longer than it may."""
    with trio.fail_after(5 * REQUEST_DEADLINE_S):
        return await raw.post("/api/publish", {"channel": "news", "data": value}, KEY_FIELD)


async def test_a_node_waits_for_nats(tmp_path: Path) -> None:
    """Unreachable at the start: the node says so, is not ready, refuses in words, and begins when it can."""
    server = NatsServer()
    config = tmp_path / "node.json"
    channels = {"without_namespace": {"history_size": 10, "history_ttl": "60s"}}
    nats = {**BROKER, "nats": {**BROKER["nats"], "url": server.url}}
    settings = {
        "http_server": {"address": "127.0.0.1", "port": free_port()},
        "http_api": {"key": API_KEY},
        "client": {"insecure": True},
        "channel": channels,
        "broker": nats,
    }
    config.write_text(json.dumps(settings))
    with broadcast("node", "--config", str(config)) as node:
        node.expect('"listening"')
        http = f"http://127.0.0.1:{settings['http_server']['port']}"
        async with await Raw.open(http) as asking, await Raw.open(http) as client:
            status, said = await readiness(asking)
            assert (status, "broker" in said) == (503, True)
            node.expect("feed cannot connect")
            node.expect("not ready yet")
            assert await publish(asking, 1) == NOT_REACHED
            await client.connected()
            await client.send_text('{"id":2,"subscribe":{"channel":"news"}}')
            (reply,) = await client.replies()
            assert reply["error"]["code"] == 100
            with server:
                node.expect("node ready")
                assert await until_ready(asking, 200)
                assert "result" in await publish(asking, 2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A node that gives NATS little time, and its server."""
    server = NatsServer()
    broker = {**BROKER, "nats": {**BROKER["nats"], "url": server.url}}
    with server, Cluster(tmp_path, 1, nats_url=server.url, broker=broker) as cluster:
        cluster.nats = server
        yield cluster


async def published(raw: Raw) -> list[Any]:
    """Data of the publications in the next frame."""
    return [reply["push"]["pub"]["data"] for reply in await raw.replies()]


@pytest.mark.parametrize(("leave", "come_back"), AWAY.values(), ids=AWAY)
async def test_a_node_outlives_its_nats_server(
    cluster: Cluster, leave: Callable[[NatsServer], None], come_back: Callable[[NatsServer], None]
) -> None:
    """Lost later: publishing fails within its deadline, subscribers stay, and all goes on by itself after."""
    (node,) = cluster.nodes
    assert cluster.nats is not None
    async with await Raw.open(node.http) as asking, await subscribed(node) as subscriber:
        assert "result" in await publish(asking, 1)
        assert await published(subscriber) == [1]
        leave(cluster.nats)
        assert await publish(asking, "lost") == NOT_REACHED
        assert "broker" in await until_ready(asking, 503)
        async with await Raw.open(node.http) as newcomer:
            await newcomer.connected()
            await newcomer.send_text('{"id":2,"subscribe":{"channel":"news"}}')
            (reply,) = await newcomer.replies()
            assert reply["error"]["code"] == 100
        await subscriber.send_frame(PING, b"")
        assert (await subscriber.frame()).opcode == PONG
        come_back(cluster.nats)
        await until_ready(asking, 200)
        with trio.fail_after(PATIENCE_S):
            while "result" not in await publish(asking, 2):
                pass
        received: list[Any] = []
        while 2 not in received:
            received += await published(subscriber)
        # What was answered with an error may be stored all the same, by a server that only stood still.
        assert received in ([2], ["lost", 2])


async def subscribed(node: NodeProcess) -> Raw:
    """A subscriber over WebSocket."""
    raw = await Raw.open(node.http)
    await raw.connected()
    await raw.send_text('{"id":2,"subscribe":{"channel":"news"}}')
    (reply,) = await raw.replies()
    assert "subscribe" in reply
    return raw
