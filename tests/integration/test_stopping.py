"""A node that is told to stop while clients are connected and publications flow."""

import json
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.listeners import KEY_FIELD, Client, exit_status, publish_on, subscribe
from tests.integration.raw import CLOSE, PING, PONG, Raw

WEBSOCKETS, EVENT_STREAMS = 200, 50
# A node waits for clients' goodbyes longer than a busy machine stands still, and has far more time to stop.
CLOSE_DEADLINE_S, STOP_DEADLINE_S = 10.0, 50.0


@contextmanager
def a_node(directory: Path, stop_s: float = STOP_DEADLINE_S, **options: Any) -> Iterator[NodeProcess]:
    client = {
        "close_deadline_s": f"{CLOSE_DEADLINE_S}s",
        "allow_anonymous_connect_without_token": True,
        **options,
    }
    with Cluster(
        directory, 1, client=client, shutdown={"timeout": f"{stop_s}s"}, uni_sse={"retry_ms": 100}
    ) as cluster:
        yield cluster.nodes[0]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node with time."""
    with a_node(tmp_path) as node:
        yield node


async def is_taken(node: NodeProcess) -> bool:
    """Whether a new client gets a WebSocket; the kernel may accept a connection that the node never sees."""
    try:
        async with await Raw.open(node.http) as raw:
            return (await raw.upgrade("/connection/websocket")).status == 101
    except (OSError, EOFError, trio.BrokenResourceError):
        return False


async def until_read(raw: Raw) -> None:
    """Return when the node has read what other connections sent before: it serves them in turn."""
    for _ in range(3):
        await raw.send_frame(PING, b"are you there?")
        assert (await raw.frame()).opcode == PONG


async def test_everybody_gets_what_was_accepted_and_is_told(node: NodeProcess) -> None:
    """Under load: each client has all that was accepted before the stop, hears 3001, and the node exits 0."""
    clients = [Client() for _ in range(WEBSOCKETS + EVENT_STREAMS)]
    accepted: list[int] = []
    flowing = trio.Event()
    async with await Raw.open(node.http) as publisher, trio.open_nursery() as nursery:
        for client in clients[:WEBSOCKETS]:
            await nursery.start(client.websocket, node)
        for client in clients[WEBSOCKETS:]:
            await nursery.start(client.event_stream, node)
        nursery.start_soon(publish_on, publisher, accepted, flowing)
        await flowing.wait()
        before = len(accepted)
        node.process.send_signal(signal.SIGTERM)
        assert await exit_status(node) == 0
    for client in clients:
        assert client.values == list(range(len(client.values)))
        assert len(client.values) >= before
        code, reason = client.told
        assert (code, bool(reason)) == (3001, True)
    assert all(100 <= client.retry_ms <= 200 for client in clients[WEBSOCKETS:])


async def test_nobody_new_is_taken(node: NodeProcess) -> None:
    """While it stops, who comes and who was half inside is sent away for a while."""
    async with AsyncExitStack() as stack:
        lingering, late, late_stream = [
            await stack.enter_async_context(await Raw.open(node.http)) for _ in range(3)
        ]
        await subscribe(lingering)
        await late.send(b"GET /connection/websocket HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n")
        await late_stream.send(b"GET /sse?channel=news HTTP/1.1\r\nHost: test\r\n")
        await until_read(lingering)
        node.process.send_signal(signal.SIGTERM)
        assert (await lingering.closed())[0] == 3001
        assert not await is_taken(node)
        await late.send(
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = await late.answer()
        assert answer.status == 503
        assert 1 <= int(answer.fields["retry-after"]) <= 5
        await late_stream.send(b"\r\n")
        assert (await late_stream.answer()).status == 200
        assert 100 <= int((await late_stream.event())["retry"]) <= 200
        assert await late_stream.rest() == b""
    assert await exit_status(node) == 0


async def test_a_client_that_never_reads_does_not_hold_it_up(tmp_path: Path) -> None:
    """With a client's buffers full, the node waits for it as long as it gives clients, and exits 0."""
    with a_node(tmp_path, close_deadline_s="0.5s") as node:
        async with await Raw.open(node.http, receive_bytes=4096) as deaf:
            await subscribe(deaf)
            async with await Raw.open(node.http) as publisher:
                for _ in range(8):
                    data = "x" * 500_000
                    await publisher.post("/api/publish", {"channel": "news", "data": data}, KEY_FIELD)
            began_at = trio.current_time()
            node.process.send_signal(signal.SIGTERM)
            assert await exit_status(node) == 0
            assert trio.current_time() - began_at < STOP_DEADLINE_S / 2, "it waited for its own deadline"


async def test_its_own_deadline_comes_first(tmp_path: Path) -> None:
    """Clients may be given longer than the node has to stop: it exits at its own deadline all the same."""
    with a_node(tmp_path, stop_s=2.0, close_deadline_s="600s") as node:
        async with await Raw.open(node.http) as silent:
            await subscribe(silent)
            node.process.send_signal(signal.SIGTERM)
            assert await exit_status(node) == 0
            assert (await silent.closed())[0] == 3001


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Whoever cannot wait sends the signal again: the node is gone, and its exit status says not 0."""
    with a_node(tmp_path, stop_s=600.0, close_deadline_s="600s") as node:
        async with await Raw.open(node.http) as silent:
            await subscribe(silent)
            node.process.send_signal(signal.SIGTERM)
            assert (await silent.closed())[0] == 3001
            node.process.send_signal(signal.SIGTERM)
            assert await exit_status(node) == 1
            assert "second signal" in node.log()


async def test_an_answer_under_way_is_finished(node: NodeProcess) -> None:
    """A publication whose request has begun when the node is told to stop is taken and answered."""
    async with await Raw.open(node.http) as witness, await Raw.open(node.http) as publisher:
        await subscribe(witness)
        body = json.dumps({"channel": "news", "data": 1}).encode()
        head = f"POST /api/publish HTTP/1.1\nHost: test\nContent-Length: {len(body)}\n{KEY_FIELD}"
        await publisher.request(head, body[:5])
        await until_read(witness)
        node.process.send_signal(signal.SIGTERM)
        assert (await witness.closed())[0] == 3001
        await publisher.send(body[5:])
        answer = await publisher.answer()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert "result" in json.loads(await publisher.body(answer))
    assert await exit_status(node) == 0


async def test_clients_on_shared_connections_are_told(node: NodeProcess) -> None:
    """Clients whose connection carried another request before hear it like all the others."""
    async with await Raw.open(node.http) as socket, await Raw.open(node.http) as stream:
        for raw in (socket, stream):
            await raw.request("GET /livez HTTP/1.1\nHost: test")
            answer = await raw.answer()
            assert (answer.status, await raw.body(answer)) == (200, b"alive\n")
        await subscribe(socket)
        await stream.request("GET /sse?channel=news HTTP/1.1\nHost: test")
        assert (await stream.answer()).status == 200
        node.process.send_signal(signal.SIGTERM)
        code, reason = await socket.closed()
        assert (code, bool(reason)) == (3001, True)
        await socket.send_frame(CLOSE, code.to_bytes(2, "big"))
        rest = await stream.rest()
        assert b"event: disconnect" in rest
        assert b"retry: " in rest
        assert await exit_status(node) == 0
