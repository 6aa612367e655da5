"""Tests of `chaos.workload.subscriber` and `crowd`: one client against servers that end its connection."""

import random
from pathlib import Path

import pytest
import trio
import trio.testing
from websockets.frames import Frame, Opcode

from chaos.history import Delivered, Position, Record, Session, Subscribed
from chaos.history_file import HistoryWriter, read
from chaos.workload import websocket_frames
from chaos.workload.crowd import Crowd
from chaos.workload.delays import Delays
from chaos.workload.publisher import Address, Head
from chaos.workload.subscriber import Part, Subscriber
from tests.chaos.workload.fake_nodes import Serve, listen, request
from tests.patience import PATIENCE_S

ACCEPTED = f"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: {websocket_frames._ACCEPT}\r\n\r\n".encode()
JOINED = (
    '{"id":1,"connect":{"client":"c","version":"v"}}',
    '{"id":2,"subscribe":{"epoch":"e","offset":7,"recoverable":true,"positioned":true}}',
)
PUBLISHED = '{"push":{"channel":"history:1","pub":{"data":{"id":"p-8"},"offset":8}}}'
CLOSED = Frame(Opcode.CLOSE, b"\x0b\xb9shutdown").serialize(mask=False)
BANNED = Frame(Opcode.CLOSE, b"\x0d\xafforce disconnect").serialize(mask=False)


def text(*messages: str) -> bytes:
    return Frame(Opcode.TEXT, "\n".join(messages).encode()).serialize(mask=False)


class Watched:
    """A client, its crowd and its history."""

    def __init__(self, path: Path, nodes: list[Address]) -> None:
        self._path = path
        self.history = HistoryWriter(path)
        self.crowd = Crowd()
        self.delays = Delays()
        part = Part(self.crowd, self.history, nodes, 5.0, self.delays)
        self.client = Subscriber("client-1", "websocket-json", ["history:1"], part, random.Random(1))

    async def until(self, reached: int) -> None:
        """Run until so many deliveries came."""
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.crowd.run)
                while self.client.deliveries < reached and not self.client._banned:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                nursery.cancel_scope.cancel()

    def records(self) -> list[Record]:
        self.client.leave()
        self.history.close(0.0)
        return list(read(self._path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def joining(*then: bytes, asked: list[bytes]) -> Serve:
    """Accepts the upgrade and the connect, then sends something."""

    async def serve(stream: trio.SocketStream) -> None:
        await request(stream)
        await stream.send_all(ACCEPTED)
        asked.append(await stream.receive_some())
        await stream.send_all(text(*JOINED))
        for data in then:
            await stream.send_all(data)
        if then[-1:] != (CLOSED,):
            await trio.sleep_forever()

    return serve


async def test_what_is_delivered_is_written_down(path: Path, nursery: trio.Nursery) -> None:
    """Connecting, the welcome, the subscription and each delivery, in the order the client saw them."""
    node = await listen(nursery, "node-1", joining(text(PUBLISHED), asked=[]))
    watched = Watched(path, [node])
    watched.delays.sent("p-8", watched.crowd.now() - 3.0)
    watched.client.connect()
    await watched.until(1)
    assert watched.delays.longest_s() >= 3.0
    assert watched.client.is_live
    assert watched.client.positions == {"history:1": Position("e", 8)}
    kinds = [type(record).__name__ for record in watched.records()]
    assert kinds == ["Client", "Session", "Session", "Subscribed", "Delivered", "Session"]


async def test_a_client_comes_back_elsewhere_with_its_position(path: Path, nursery: trio.Nursery) -> None:
    """After a close that allows it: to another node, asking to recover from what it has."""
    asked: list[bytes] = []
    first = await listen(nursery, "node-1", joining(text(PUBLISHED), CLOSED, asked=asked))
    second = await listen(nursery, "node-2", joining(text(PUBLISHED), asked=asked))
    watched = Watched(path, [first, second])
    watched.client.go_to("node-1", "websocket-json")
    watched.client.connect()
    await watched.until(2)
    assert b'"recover":true,"epoch":"e","offset":8' in asked[1]
    records = watched.records()
    sessions = [(record.node, record.phase) for record in records if isinstance(record, Session)]
    assert sessions[2:5] == [("node-1", "closed"), ("node-2", "connecting"), ("node-2", "connected")]
    again = [record for record in records if isinstance(record, Subscribed)][1]
    assert again.asked == Position("e", 8)
    assert len([record for record in records if isinstance(record, Delivered)]) == 2


async def test_a_client_that_is_not_wanted_does_not_come_back(path: Path, nursery: trio.Nursery) -> None:
    """Codes from 3500 are terminal (protocol reference, section 5.3); it is missed all the same."""
    node = await listen(nursery, "node-1", joining(BANNED, asked=[]))
    watched = Watched(path, [node])
    watched.client.connect()
    await watched.until(1)
    watched.client.connect()
    assert watched.client._sock is None
    assert watched.client.wanted
    assert watched.client.lacks({}) == ["history:1"]
    watched.client.leave()
    assert watched.client.lacks({}) == []
    watched.records()


async def test_a_connection_that_the_run_breaks_is_none_that_the_client_ended(
    path: Path, nursery: trio.Nursery
) -> None:
    """The client comes back, and its way back is judged like that from any broken connection."""
    asked: list[bytes] = []
    node = await listen(nursery, "node-1", joining(text(PUBLISHED), asked=asked))
    watched = Watched(path, [node])
    watched.client.connect()
    await watched.until(1)
    watched.client.drop()
    await watched.until(2)
    closed = [each for each in watched.records() if isinstance(each, Session) and each.phase == "closed"]
    assert [(each.code, each.reason) for each in closed] == [(0, "dropped"), (-1, "left")]


async def test_a_connection_that_stays_silent_is_given_up(path: Path, nursery: trio.Nursery) -> None:
    """A node that hangs is left when no ping comes in time."""
    node = await listen(nursery, "node-1", joining(text(PUBLISHED), asked=[]))
    watched = Watched(path, [node])
    watched.client.connect()
    await watched.until(1)
    watched.client._heard -= 6
    watched.client.check()
    ends = [record.reason for record in watched.records() if isinstance(record, Session)]
    assert ends[-1] == "no ping"


def test_who_lacks_what(path: Path) -> None:
    """Behind is who has less than was accepted, is not subscribed, or was not told of another epoch since."""
    with HistoryWriter(path) as history:
        part = Part(Crowd(), history, [], 5.0, Delays())
        client = Subscriber("c", "ws", ["history:1", "plain:1"], part, random.Random(1))
        assert client.lacks({}) == ["history:1", "plain:1"]
        client.subscribed("history:1", "e", 7, None)
        client.subscribed("plain:1", "", 0, None)
        assert client.lacks({"plain:1": Head("p", "", 0)}) == []
        assert client.lacks({"history:1": Head("p", "e", 8)}) == ["history:1"]
        assert client.lacks({"history:1": Head("p", "f", 3, sent=-1.0)}) == []
        assert client.lacks({"history:1": Head("p", "f", 3, sent=1.0)}) == ["history:1"]
        client.delivered("history:1", "p", 8)
        assert client.lacks({"history:1": Head("p", "e", 8)}) == []
