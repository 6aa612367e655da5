"""What every broker promises nodes that speak to each other; part of `BrokerContract`."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from node.broker.interface import Broker, NobodyAnswers
from tests.patience import PATIENCE_S

MakeBroker = Callable[[], Awaitable[Broker]]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again until the condition holds."""
    with trio.fail_after(PATIENCE_S):
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

        async def both_listen() -> bool:
            # That somebody listens takes a moment to spread among the servers of a cluster.
            one.tell("topic", b"0")
            return {name for name, _ in heard} >= {"one", "other"}

        await until(both_listen)
        one.tell("topic", b"1")
        one.tell("topic", b"2")

        async def all_heard() -> bool:
            return {("one", b"2"), ("other", b"2")} <= set(heard)

        await until(all_heard)
        told = [entry for entry in heard if entry[1] != b"0"]
        assert sorted(told) == [("one", b"1"), ("one", b"2"), ("other", b"1"), ("other", b"2")]
        assert told.index(("other", b"1")) < told.index(("other", b"2"))

    async def test_nodes_ask_each_other(self, make_broker: MakeBroker) -> None:
        """The node that answers a topic is asked once, by whichever node; nobody there is known at once."""
        one, other = await make_broker(), await make_broker()
        asked: list[bytes] = []

        def serve(data: bytes) -> bytes:
            asked.append(data)
            return data[::-1]

        await one.answer("topic", serve)

        async def answers() -> bool:
            # As above: until then nobody is asked.
            try:
                return await other.ask("topic", b"ab") == b"ba"
            except NobodyAnswers:
                return False

        await until(answers)
        assert await one.ask("topic", b"") == b""
        assert asked == [b"ab", b""]
        with pytest.raises(NobodyAnswers):
            await other.ask("elsewhere", b"ab")
