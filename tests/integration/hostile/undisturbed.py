"""What a node must keep up while somebody misbehaves: its other clients' streams, and its own tidiness."""

import itertools
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from tests.integration.cluster import API_KEY, NodeProcess
from tests.integration.raw import CONNECT, Raw
from tests.patience import PATIENCE_S

# What a node may compute between two publications to one client. It is no wall time: a busy machine stands
# still for longer than anything that somebody sends should keep a node.
COMPUTED_MAX_S = 1.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_INTERVAL_S = 0.01
_MORE = 5
_channels = itertools.count(1)


class Holdings(NamedTuple):
    """What a node holds for its clients now."""

    connections: int
    sessions: int
    subscriptions: int
    open_files: int


class Witness:
    """A well-behaved subscriber of a channel that is published to all the time.

    Attributes:
        values: what it received.
        moments: when, on the clock of what the node has computed.
    """

    def __init__(self, channel: str, node: NodeProcess) -> None:
        self.values: list[int] = []
        self.moments: list[float] = []
        self._channel = channel
        self._node = node

    async def publish(self, raw: Raw) -> None:
        """Publish numbers at a steady pace, for ever."""
        for value in itertools.count():
            await raw.post("/api/publish", {"channel": self._channel, "data": value}, f"X-API-Key: {API_KEY}")
            await trio.sleep(_INTERVAL_S)

    async def subscribe(self, raw: Raw) -> None:
        """Connect over WebSocket and subscribe."""
        assert (await raw.upgrade("/connection/websocket")).status == 101
        await raw.send_text(f'{CONNECT}\n{{"id":2,"subscribe":{{"channel":"{self._channel}"}}}}')
        replies = await raw.replies()
        while len(replies) < 2:
            replies += await raw.replies()

    async def receive(self, raw: Raw) -> None:
        """Note every publication, for ever."""
        while True:
            for reply in await raw.replies():
                self.values.append(reply["push"]["pub"]["data"])
                self.moments.append(_computed_s(self._node))

    async def receives_more(self) -> None:
        """Return when some more publications have come."""
        wanted = len(self.values) + _MORE
        with trio.fail_after(PATIENCE_S):
            while len(self.values) < wanted:  # noqa: ASYNC110 - a pace is watched, not one event
                await trio.sleep(_INTERVAL_S)

    def assert_undisturbed(self) -> None:
        """Everything came, in order, and none had to wait for something long."""
        assert self.values == list(range(len(self.values)))
        gaps = [after - before for before, after in itertools.pairwise(self.moments)]
        assert max(gaps) < COMPUTED_MAX_S, f"{max(gaps):.2f} s of computing without a publication"


@asynccontextmanager
async def undisturbed(node: NodeProcess) -> AsyncIterator[None]:
    """Around whatever somebody does to a node: another client notices nothing of it, and nothing stays.

    Afterwards the node holds as many connections, sessions, subscriptions and open files as before, no
    request has failed by a fault of the node, and its log has no error.
    """
    witness = Witness(f"steady-{next(_channels)}", node)
    errors_before = _errors(node)
    async with (
        await Raw.open(node.http) as publishing,
        await Raw.open(node.http) as receiving,
        await Raw.open(node.http) as asking,
        trio.open_nursery() as nursery,
    ):
        await witness.subscribe(receiving)
        nursery.start_soon(witness.receive, receiving)
        nursery.start_soon(witness.publish, publishing)
        await witness.receives_more()
        before = await holdings(asking, node)
        yield
        await witness.receives_more()
        await _back_to(before, asking, node)
        witness.assert_undisturbed()
        assert (await metrics(asking))["broadcast_failures_total"] == 0
        nursery.cancel_scope.cancel()
    assert _errors(node) == errors_before, node.log()


async def metrics(asking: Raw) -> dict[str, float]:
    """The node's metrics by name, labels included."""
    await asking.request("GET /metrics HTTP/1.1\nHost: test")
    text = (await asking.body(await asking.answer())).decode()
    return {name: float(value) for name, value in re.findall(r"^(\w.*) (\S+)$", text, re.MULTILINE)}


async def holdings(asking: Raw, node: NodeProcess) -> Holdings:
    """What the node holds now."""
    seen = await metrics(asking)
    sessions = sum(value for name, value in seen.items() if name.startswith("broadcast_connections{"))
    return Holdings(
        connections=int(seen["broadcast_door_connections"]),
        sessions=int(sessions),
        subscriptions=int(seen["broadcast_subscriptions"]),
        open_files=_open_files(node),
    )


def _computed_s(node: NodeProcess) -> float:
    # proc(5): the 14th and the 15th field; the second, in parentheses, may hold spaces.
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _open_files(node: NodeProcess) -> int:
    return len(list(Path(f"/proc/{node.process.pid}/fd").iterdir()))


async def _back_to(before: Holdings, asking: Raw, node: NodeProcess) -> None:
    now = await holdings(asking, node)
    with trio.move_on_after(PATIENCE_S):
        while now != before:
            await trio.sleep(_INTERVAL_S)
            now = await holdings(asking, node)
    assert now == before


def _errors(node: NodeProcess) -> int:
    lines = [json.loads(line) for line in node.log().splitlines() if line.startswith("{")]
    return sum(line["level"] == "error" for line in lines) + node.log().count("Traceback")
