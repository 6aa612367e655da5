"""POSTs at one node for sessions of another one that is gone, silent, or out of reach."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.raw import CONNECT, Raw

HISTORY = '{"id":2,"history":{"channel":"news","limit":0}}'


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    """Two nodes that a test may harm."""
    with Cluster(tmp_path, client={"insecure": True, "close_deadline_s": "2s"}) as cluster:
        yield cluster


async def listen(raw: Raw) -> dict[str, Any]:
    """Open a stream; returns the connect result."""
    head = f"POST /connection/http_stream HTTP/1.1\nHost: test\nContent-Length: {len(CONNECT)}"
    await raw.request(head, CONNECT.encode())
    assert (await raw.answer()).status == 200
    return dict(json.loads(await raw.line())["connect"])


async def post(node: NodeProcess, connected: dict[str, Any]) -> int:
    """POST a command for a session; returns the status."""
    fields = {"session": connected["session"], "node": connected["node"], "data": HISTORY}
    body = json.dumps(fields).encode()
    async with await Raw.open(node.http) as raw:
        await raw.request(f"POST /emulation HTTP/1.1\nHost: test\nContent-Length: {len(body)}", body)
        return (await raw.answer()).status


async def test_a_post_at_any_node_is_answered_truthfully(pair: Cluster) -> None:
    """204 if the session has it; 503 if nobody knows; 404 if its node is gone."""
    here, there = pair.nodes
    async with await Raw.open(here.http) as stream:
        connected = await listen(stream)
        for node in pair.nodes:
            assert await post(node, connected) == 204
            assert json.loads(await stream.line())["id"] == 2
        here.process.send_signal(signal.SIGSTOP)
        assert await post(there, connected) == 503
        here.process.send_signal(signal.SIGCONT)
        # It was heard after all, which 503 does not deny.
        assert json.loads(await stream.line())["id"] == 2
        assert await post(there, connected) == 204
        assert json.loads(await stream.line())["id"] == 2
        here.kill()
        assert await post(there, connected) == 404


async def test_without_nats_a_session_hears_its_own_node(pair: Cluster) -> None:
    """What need not travel works; what must is 503, and works again with NATS."""
    here, there = pair.nodes
    assert pair.nats is not None
    async with await Raw.open(here.http) as stream:
        connected = await listen(stream)
        pair.nats.stop()
        assert await post(there, connected) == 503
        assert await post(here, connected) == 204
        pair.nats.start()
        statuses = {503}
        while statuses == {503}:
            statuses = {await post(there, connected)}
        # 404 if the other node is there again and this one is not yet.
        assert statuses <= {204, 404}


async def test_a_node_that_leaves_sends_its_emulated_clients_away(pair: Cluster) -> None:
    """They are told in the stream, commands reach them until then, and nobody is found afterwards."""
    here, there = pair.nodes
    async with await Raw.open(here.http) as stream:
        connected = await listen(stream)
        here.process.send_signal(signal.SIGTERM)
        assert json.loads(await stream.line())["push"]["disconnect"]["code"] == 3001
        assert await stream.rest() == b""
    assert here.process.wait(20) == 0
    assert await post(there, connected) == 404
