"""A node that leaves under load: seen leaving, refusing, pacing, losing nothing, and gone in time."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.listeners import KEY_FIELD, Client, exit_status, publish_on, subscribe
from tests.integration.raw import CLOSE, Raw

WEBSOCKETS, EVENT_STREAMS = 150, 50
RATE, QUIET_S, WAIT_MAX_S, TIMEOUT_S = 100, 3.0, 6.0, 50.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node that waits for some seconds without arrivals and sends away a hundred per second."""
    with Cluster(
        tmp_path,
        1,
        client={"allow_anonymous_connect_without_token": True, "close_deadline_s": "10s"},
        shutdown={"timeout": TIMEOUT_S},
        drain={"arrivals_quiet_s": QUIET_S, "arrivals_wait_max_s": WAIT_MAX_S, "rate": RATE},
        uni_sse={"retry_ms": 100},
    ) as cluster:
        yield cluster.nodes[0]


async def readiness(node: NodeProcess) -> tuple[int, bytes]:
    """What a load balancer sees, on a connection of its own."""
    async with await Raw.open(node.http) as raw:
        await raw.request("GET /readyz HTTP/1.1\nHost: test")
        answer = await raw.answer()
        return answer.status, await raw.body(answer)


async def refused(node: NodeProcess) -> tuple[int, int]:
    """The status and the seconds to wait that a WebSocket client gets."""
    async with await Raw.open(node.http) as raw:
        answer = await raw.upgrade("/connection/websocket")
        return answer.status, int(answer.fields["retry-after"])


async def ended_stream(node: NodeProcess) -> bytes:
    """What an EventSource gets, up to the end of its stream."""
    async with await Raw.open(node.http) as raw:
        await raw.request("GET /sse?channel=news HTTP/1.1\nHost: test\nAccept: text/event-stream")
        assert (await raw.answer()).status == 200
        return await raw.rest()


async def test_a_stopped_node_leaves_first_and_loses_nothing(node: NodeProcess) -> None:
    """Under load: not ready and refusing with its port open, then paced goodbyes, complete, and exit 0."""
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
        stopped_at = trio.current_time()
        node.process.send_signal(signal.SIGTERM)
        status = 200
        while status == 200:
            status, reason = await readiness(node)
        assert (status, reason) == (503, b"the node is stopping\n")
        status, wait_s = await refused(node)
        assert (status, 1 <= wait_s <= 5) == (503, True)
        # The last arrival is after this, and nobody is sent away before it was quiet, or before the maximum.
        last_from = trio.current_time()
        assert (await ended_stream(node)).startswith(b"retry: ")
        assert await exit_status(node) == 0
    assert trio.current_time() - stopped_at < TIMEOUT_S
    begins_at = min(last_from + QUIET_S, stopped_at + WAIT_MAX_S) - 0.3
    # At no moment were more told than the rate allows, and some for the ticks. Counted from the beginning:
    # on a machine that stood still many may hear late, and then at once, but none too early.
    for number, told_at in enumerate(sorted(client.told_at for client in clients)):
        assert told_at >= begins_at + (number - RATE * 0.35) / RATE, number
    for client in clients:
        assert client.values == list(range(len(client.values)))
        assert client.told == (3001, "shutdown")
    # Who was told last heard everything that was accepted before.
    assert max(len(client.values) for client in clients) >= len(accepted) - 20


async def test_calls_of_the_api_are_served_to_the_end(node: NodeProcess) -> None:
    """While clients are sent away, publishing goes on, and each connection is asked to close."""
    async with await Raw.open(node.http) as witness, await Raw.open(node.http) as kept:
        await subscribe(witness)
        await kept.post("/api/publish", {"channel": "news", "data": 0}, KEY_FIELD)
        node.process.send_signal(signal.SIGTERM)
        while (await readiness(node))[0] == 200:
            pass
        await kept.request(f"POST /api/publish HTTP/1.1\nHost: test\nContent-Length: 27\n{KEY_FIELD}")
        await kept.send(b'{"channel":"news","data":1}')
        answer = await kept.answer()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert [(await witness.replies())[0]["push"]["pub"]["data"] for _ in range(2)] == [0, 1]
        code, _ = await witness.closed()
        await witness.send_frame(CLOSE, code.to_bytes(2, "big"))
        assert code == 3001
        assert await exit_status(node) == 0


async def test_arrivals_are_waited_for(node: NodeProcess) -> None:
    """While clients still come, nobody is sent away, up to the maximum."""
    async with await Raw.open(node.http) as witness:
        await subscribe(witness)
        node.process.send_signal(signal.SIGTERM)
        began_at = trio.current_time()
        told = 0
        while not told:
            with trio.move_on_after(QUIET_S / 10):
                told, _ = await witness.closed()
            if not told:
                await refused(node)
        assert told == 3001
        assert trio.current_time() - began_at >= WAIT_MAX_S - 0.3


async def test_too_many_clients_at_once_are_sent_away(tmp_path: Path) -> None:
    """`client.connection_rate_limit`: of a hundred at once a few get in, the others get a 503."""
    options = {"allow_anonymous_connect_without_token": True, "connection_rate_limit": 5}
    with Cluster(tmp_path, 1, client=options) as cluster:
        statuses: list[int] = []

        async def come() -> None:
            async with await Raw.open(cluster.nodes[0].http) as raw:
                statuses.append((await raw.upgrade("/connection/websocket")).status)

        began_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(come)
        assert set(statuses) == {101, 503}
        assert statuses.count(101) <= 5 * (2 + trio.current_time() - began_at)
