"""What every broker promises nodes that speak to each other; part of `BrokerContract`."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from node.broker.interface import Broker, NobodyAnswers

MakeBroker = Callable[[], Awaitable[Broker]]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again until the condition holds."""
    with trio.fail_after(15):
        # The condition is at a server, which sets no event.
        while not await condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


class NodesContract:
    """The promises of node/broker/interface.py on `tell`, `listen`, `ask` and `answer`."""

    async def test_nodes_tell_each_other(self, make_broker: MakeBroker) -> None:
        """What a node tells a topic reaches every node that listens, itself included, in order."""
        one, other = await make_broker(), await make_broker()
        heard: list[tuple[str, bytes]] = []
        await one.listen("topic", lambda data: heard.append(("one", data)))
        await other.listen("topic", lambda data: heard.append(("other", data)))
        await one.listen("elsewhere", lambda data: heard.append(("elsewhere", data)))
        one.tell("topic", b"1")
        one.tell("topic", b"2")

        async def all_heard() -> bool:
            return len(heard) >= 4

        await until(all_heard)
        assert sorted(heard) == [("one", b"1"), ("one", b"2"), ("other", b"1"), ("other", b"2")]
        assert heard.index(("other", b"1")) < heard.index(("other", b"2"))

    async def test_nodes_ask_each_other(self, make_broker: MakeBroker) -> None:
        """The node that answers a topic is asked once, by whichever node; nobody there is known at once."""
        one, other = await make_broker(), await make_broker()
        asked: list[bytes] = []

        def serve(data: bytes) -> bytes:
            asked.append(data)
            return data[::-1]

        await one.answer("topic", serve)
        assert await other.ask("topic", b"ab") == b"ba"
        assert await one.ask("topic", b"") == b""
        assert asked == [b"ab", b""]
        with trio.fail_after(1), pytest.raises(NobodyAnswers):
            await other.ask("elsewhere", b"ab")
