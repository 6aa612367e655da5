"""Commands of clients that cannot wait for ever, nor be waited for without a bound."""

from collections.abc import Awaitable, Callable
from functools import partial

import trio
import trio.testing
from trio.testing import MockClock

from node.broker.interface import BrokerUnavailable
from node.commands import handle
from node.history.recovery import Joined
from node.hub import Subscription
from node.protocol import reasons
from node.protocol.messages import Command, StreamPosition
from node.transports.serving import serve_commands
from tests.node.node_in_memory import MemoryNode, command, memory_node

CONNECT = command({"id": 1, "connect": {"subs": {"first": {}, "second": {}, "third": {}}}})


def delay_joins(node: MemoryNode, wait: Callable[[], Awaitable[None]]) -> None:
    """Let the node's joins wait before they begin."""
    join = node.channels.join

    async def join_later(subscription: Subscription, since: StreamPosition | None, arrived: int) -> Joined:
        await wait()
        return await join(subscription, since, arrived)

    node.channels.join = join_later  # type: ignore[method-assign]


async def test_all_joins_of_a_connect_have_one_deadline(autojump_clock: MockClock) -> None:
    """A store that answers slowly makes no connect longer than any other command."""
    async with memory_node(client__command_deadline_s=4) as node:
        delay_joins(node, partial(trio.sleep, 3))
        session, client = node.session(unidirectional=True)
        start = trio.current_time()
        await handle(session, CONNECT)
        assert trio.current_time() - start == 4
        assert client.got == [reasons.SERVER_ERROR]
        assert node.hub.channels == 0


async def test_what_came_together_has_one_deadline(autojump_clock: MockClock) -> None:
    """While the broker is away, the last of many commands is answered as soon as one alone would be."""

    async def no_answer() -> None:
        await trio.sleep(3)
        raise BrokerUnavailable("away")

    def subscribe(*ids: int) -> list[Command]:
        return [command({"id": number, "subscribe": {"channel": f"c{number}"}}) for number in ids]

    async with memory_node(client__command_deadline_s=4) as node:
        delay_joins(node, no_answer)
        session, client = await node.connected()
        start = trio.current_time()
        await serve_commands(session, subscribe(2, 3, 4))
        # Sent while those before waited, and read only now.
        await serve_commands(session, subscribe(5, 6))
        assert trio.current_time() - start == 4
        assert [(reply.id, reply.error.code) for reply in client.take()] == [
            (number, reasons.INTERNAL.code) for number in (2, 3, 4, 5, 6)
        ]
        await trio.sleep(1)
        await serve_commands(session, subscribe(7))
        assert trio.current_time() - start == 4 + 1 + 3


async def test_what_waits_for_a_connect_is_bounded(autojump_clock: MockClock) -> None:
    """Publications of the first channels wait while others are joined: too many are a slow client."""
    async with memory_node(client__queue_max_size=65_536) as node:
        joins = 0

        async def publish_to_first() -> None:
            nonlocal joins
            joins += 1
            for _ in range(5):
                await node.publisher.publish("first", b'"%b"' % (b"x" * 10_000))
                await trio.testing.wait_all_tasks_blocked()

        delay_joins(node, publish_to_first)
        session, client = node.session(unidirectional=True)
        await handle(session, CONNECT)
        assert client.got == [reasons.SLOW]
        assert (joins, node.metrics.slow_clients, node.hub.channels) == (3, 1, 0)
