"""Commands left for a session are served in order, by its own task, and not more of them than it can hold."""

import trio
import trio.testing

from node.transports.emulated_transport import _FRAME_BYTES, _WAITING_BYTES_MAX
from tests.node.transports.served import Served, served
from tests.node.transports.stream_client import Emulated, frame


def receiver(node: Served, client: Emulated):  # type: ignore[no-untyped-def]
    """What takes the client's frames at the node."""
    return node.parts.emulation._sessions[client.session]


async def test_frames_are_served_in_the_order_they_came() -> None:
    """However many come at once, and while others are served."""
    async with served() as node:
        client = await Emulated.open(node)
        receive = receiver(node, client)
        for number in range(2, 202, 2):
            commands = [{"id": n, "history": {"channel": "past:a"}} for n in (number, number + 1)]
            assert receive(frame(*commands))
            if number % 7 == 0:
                await trio.lowlevel.checkpoint()
        assert [(await client.stream.line())["id"] for _ in range(200)] == list(range(2, 202))


async def test_what_may_wait_is_bounded() -> None:
    """By bytes, and by frames that have hardly any; then there is room again."""
    async with served() as node:
        for data in (b" " * 10_000, b""):
            client = await Emulated.open(node)
            receive = receiver(node, client)
            taken = 0
            while receive(data):
                taken += 1
            assert taken == _WAITING_BYTES_MAX // (_FRAME_BYTES + len(data))
            # They are no commands: the first one served ends the session, which then takes what it ignores.
            assert (await client.stream.line())["push"]["disconnect"]["code"] == 3501
            assert receive(data)


async def test_a_frame_longer_than_all_that_may_wait_is_served_alone() -> None:
    """How long a frame may be is not decided here."""
    async with served() as node:
        client = await Emulated.open(node)
        receive = receiver(node, client)
        data = frame({"id": 2, "history": {"channel": "past:a"}}).ljust(_WAITING_BYTES_MAX + 1)
        assert receive(data)
        assert not receive(data)
        assert (await client.stream.line())["id"] == 2
        assert receive(data)
        assert (await client.stream.line())["id"] == 2


async def test_a_client_that_does_not_read_its_replies_is_slow() -> None:
    """What waits for it is bounded by what it may have waiting, however it asks."""
    async with served() as node:
        client = await Emulated.open(node)
        for number in range(10):
            await node.publish("past:a", b'"%b"' % (b"x" * 100_000 + b"%d" % number))
        command = {"history": {"channel": "past:a", "limit": 10}}
        number = 2
        while node.parts.metrics.slow_clients == 0:
            assert await client.send({"id": number, **command}) == 204
            number += 1
            await trio.testing.wait_all_tasks_blocked()
        assert number < 40
