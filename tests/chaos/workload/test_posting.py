"""Tests of `chaos.workload.posting`, against servers that take a request, refuse it, or say nothing."""

import random

import pytest
import trio
import trio.testing

from chaos.workload.crowd import Crowd
from chaos.workload.posting import Post
from chaos.workload.publisher import Address
from tests.chaos.workload.fake_nodes import Serve, listen, request

PATIENCE_S = 60

BODY = b'{"session":"s"}'


def answering(status: str, seen: list[str]) -> Serve:
    async def serve(stream: trio.SocketStream) -> None:
        first, body = await request(stream)
        seen.append(f"{first} {body}")
        await stream.send_all(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    return serve


async def posted(nodes: list[Address], until: list[str]) -> list[str]:
    """Post once, until somebody has written something; returns why it failed, if it did."""
    failures: list[str] = []

    def failed(reason: str) -> None:
        failures.append(reason)
        until.append("failed")

    crowd = Crowd()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.run)
            Post(crowd, nodes, "application/json", BODY, random.Random(1), failed)
            while not until:
                await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
    return failures


async def test_any_node_takes_it(nursery: trio.Nursery) -> None:
    """One request, with the body and its type."""
    seen: list[str] = []
    node = await listen(nursery, "node-1", answering("204 No Content", seen))
    assert await posted([node], seen) == []
    assert seen == ["POST /emulation HTTP/1.1 {'session': 's'}"]


async def test_a_node_that_is_down_is_left_for_another(nursery: trio.Nursery) -> None:
    """As what is in front of nodes does."""
    seen: list[str] = []
    good = await listen(nursery, "node-2", answering("204 No Content", seen))
    bad = Address("node-1", "127.0.0.1", 1)
    for nodes in ([bad, good], [good, bad]):
        seen.clear()
        assert await posted(nodes, seen) == []
    assert len(await posted([bad, bad], [])) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "503 Service Unavailable"])
async def test_what_was_sent_is_never_sent_again(nursery: trio.Nursery, status: str) -> None:
    """It may have arrived: a pong that comes twice would end the session."""
    seen: list[str] = []
    node = await listen(nursery, "node-1", answering(status, seen))
    assert await posted([node, node], []) == [f"HTTP {status[:3]}"]
    assert len(seen) == 1


async def test_a_node_that_breaks_off_is_not_asked_again(nursery: trio.Nursery) -> None:
    """Nobody knows whether it has taken the frame."""
    seen: list[str] = []

    async def broken(stream: trio.SocketStream) -> None:
        seen.append((await request(stream))[0])

    node = await listen(nursery, "node-1", broken)
    assert await posted([node, node], []) == ["end of stream"]
    assert len(seen) == 1
