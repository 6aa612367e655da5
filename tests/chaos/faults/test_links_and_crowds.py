"""Tests of the faults with sockets of their own: links through proxies, floods, clients that never read."""

import random

import pytest
import trio
import trio.testing

from chaos.faults.catalogue import FAULTS
from chaos.proxy import CLEAR, Proxy
from chaos.workload.spec import NodeAddress
from tests.chaos.faults.scenes import scene
from tests.patience import PATIENCE_S


@pytest.mark.parametrize("name", ["link-slow", "link-narrow", "link-silent", "link-cut"])
async def test_a_link_is_spoilt_and_cleared(nursery: trio.Nursery, name: str) -> None:
    """Only the links that were meant, and they are clear again afterwards."""
    where, cluster, _ = scene(nursery)
    links = {
        name: Proxy("h", 1, random.Random(1)) for name in ("node-1:nats-1", "node-1:nats-2", "node-2:nats-1")
    }
    cluster.links = links
    fault = FAULTS[name](where, "node-1:")
    await fault.inject()
    assert [link.conditions == CLEAR for link in links.values()] == [False, False, True]
    await fault.heal()
    assert all(link.conditions == CLEAR for link in links.values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("never-read", b'"channel":"history:1"'),
        ("connection-flood", b"GET /connection/websocket"),
        ("malformed-flood", b""),
    ],
)
async def test_a_crowd_comes_and_goes(nursery: trio.Nursery, name: str, said: bytes) -> None:
    """Many connections while it is in force, and none after it was healed; others are told not to notice."""
    where, cluster, _ = scene(nursery)
    seen: list[bytes] = []
    opened = 0
    closed = 0
    changed = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal opened, closed, changed
        opened += 1
        try:
            async for data in stream:
                seen.append(bytes(data))  # noqa: PERF401 - others look at the list meanwhile
        except trio.BrokenResourceError:
            pass
        finally:
            closed += 1
            changed.set()
            changed = trio.Event()

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    cluster.nodes = (NodeAddress("node-1", "127.0.0.1", listener.socket.getsockname()[1]),)
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    fault = FAULTS[name](where, "")
    assert fault.slow
    with trio.fail_after(PATIENCE_S):
        await fault.inject()
        while len(seen) < 20:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await fault.heal()
        while closed < opened:
            await changed.wait()
    assert said in b"".join(seen)
