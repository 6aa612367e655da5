"""One connection over a memory stream: joined writes, probes, silence, and how it ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from node.broker.nats import commands
from node.broker.nats.connection import Connection, cause_of
from node.broker.nats.protocol import Control, Event, Parser, ServerInfo
from node.config.nats_urls import Server

INTERVAL_S = 2.0


class Recorder:
    """What the connection was told, with PONGs settled as the feed does it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[Event] = []

    def __call__(self, data: bytes, events: list[Event]) -> None:
        self.events += events
        for event in events:
            if event is Control.PONG:
                self.connection.pong_received()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Connection, trio.abc.Stream, trio.Event, Recorder]]:
    """A running connection, the server's end of it, an event set when it has ended, and its record."""
    ours, theirs = trio.testing.memory_stream_pair()
    connection = Connection(ours, Server("h", 1), ServerInfo(), Parser())
    recorder = Recorder(connection)
    ended = trio.Event()

    async def run() -> None:
        await connection.run(recorder, INTERVAL_S)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield connection, theirs, ended, recorder
        nursery.cancel_scope.cancel()


async def test_what_is_written_in_one_turn_is_one_send(autojump_clock: trio.testing.MockClock) -> None:
    """Commands of one turn of the loop leave in one send, in order, with a PING behind them."""
    async with connected() as (connection, server, _, _):
        connection.write(b"a")
        probe = connection.probe()
        connection.write(b"b")
        assert connection.probe() is probe
        assert connection.outbox_bytes == 2
        assert await server.receive_some() == b"ab" + commands.PING
        await trio.testing.wait_all_tasks_blocked()
        assert connection.outbox_bytes == 0
        assert connection.probe() is not probe


async def test_probes_are_settled_in_order(autojump_clock: trio.testing.MockClock) -> None:
    """Each PONG settles the oldest PING, and only that."""
    async with connected() as (connection, server, _, _):
        first = connection.probe()
        await server.receive_some()
        second = connection.probe()
        await server.receive_some()
        await server.send_all(b"PONG\r\n")
        await first.settled.wait()
        assert first.answered
        assert not second.settled.is_set()
        await server.send_all(b"PONG\r\n")
        await second.settled.wait()
        assert second.answered


async def test_a_silent_server_is_given_up_after_two_intervals(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Silence is probed after one interval and after one and a half, and ends the connection after two."""
    async with connected() as (connection, server, ended, _):
        began_at = trio.current_time()
        assert await server.receive_some() == commands.PING
        assert trio.current_time() - began_at == pytest.approx(INTERVAL_S)
        assert await server.receive_some() == commands.PING
        assert trio.current_time() - began_at == pytest.approx(1.5 * INTERVAL_S)
        await ended.wait()
        assert trio.current_time() - began_at == pytest.approx(2 * INTERVAL_S)
        assert "nothing heard for 4.0 s" in connection.lost


async def test_anything_heard_keeps_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    """Data counts as life, a PONG or not; a server that talks is not probed, one that answers is kept."""
    async with connected() as (_, server, ended, recorder):
        for _ in range(10):
            await trio.sleep(INTERVAL_S * 0.9)
            await server.send_all(b"+OK\r\n")
        await trio.testing.wait_all_tasks_blocked()
        assert recorder.events == [Control.OK] * 10
        for _ in range(3):
            assert await server.receive_some() == commands.PING
            assert await server.receive_some() == commands.PING
            await server.send_all(b"PONG\r\nPONG\r\n")
        assert not ended.is_set()


async def test_our_own_stall_is_not_the_servers_silence(mock_clock: trio.testing.MockClock) -> None:
    """When this process stood still over a deadline, the server still has its time to answer."""

    async def pass_time(seconds: float) -> None:
        mock_clock.jump(seconds)
        await trio.testing.wait_all_tasks_blocked()

    async with connected() as (_, server, ended, _):
        await trio.testing.wait_all_tasks_blocked()
        await pass_time(INTERVAL_S)
        await pass_time(INTERVAL_S / 2)
        assert await server.receive_some() == commands.PING * 2
        await pass_time(10 * INTERVAL_S)
        assert not ended.is_set()
        await pass_time(INTERVAL_S / 2)
        assert ended.is_set()


@pytest.mark.parametrize("half", [b"", b"MSG a 1 10\r\nhal", b"INFO {"])
async def test_an_end_within_a_message_is_an_end(autojump_clock: trio.testing.MockClock, half: bytes) -> None:
    """The connection ends when the server closes it, and a message cut in half is not delivered."""
    async with connected() as (connection, server, ended, recorder):
        probe = connection.probe()
        await server.send_all(b"PING\r\n" + half)
        await server.aclose()
        await ended.wait()
        assert recorder.events == [Control.PING]
        assert probe.settled.is_set()
        assert not probe.answered
        assert connection.lost


@pytest.mark.parametrize("garbage", [b"garbage\r\n", b"PONG\r\n"])
async def test_garbage_ends_the_connection(autojump_clock: trio.testing.MockClock, garbage: bytes) -> None:
    """What is no NATS, or an answer nobody asked for, ends the connection with a reason."""
    async with connected() as (connection, server, ended, _):
        await server.send_all(garbage)
        await ended.wait()
        assert connection.lost.startswith("protocol error")


async def test_leaving_has_its_time_and_reason(autojump_clock: trio.testing.MockClock) -> None:
    """An orderly leave happens after its delay, the earliest one counts, and it is the reason told."""
    async with connected() as (connection, _, ended, _):
        began_at = trio.current_time()
        connection.leave_within(1.0, "lame duck")
        connection.leave_within(1.5, "lame duck")
        await ended.wait()
        assert trio.current_time() - began_at == pytest.approx(1.0)
        assert connection.lost == "lame duck"


async def test_cancelling_settles_probes_and_closes(autojump_clock: trio.testing.MockClock) -> None:
    """A cancelled connection leaves nobody waiting and no stream open."""
    async with connected() as (connection, server, ended, _):
        probe = connection.probe()
        await server.receive_some()
    assert probe.settled.is_set()
    assert not probe.answered
    assert not ended.is_set()
    assert await server.receive_some() == b""


async def test_a_probe_asked_for_while_closing_is_settled(autojump_clock: trio.testing.MockClock) -> None:
    """Nobody can ask so late that no answer and no end comes."""
    ours, _theirs = trio.testing.memory_stream_pair()
    connection = Connection(ours, Server("h", 1), ServerInfo(), Parser())
    late = []
    ours.send_stream.close_hook = lambda: late.append(connection.probe())
    connection.lose("test")
    await connection.run(lambda _data, _events: None, INTERVAL_S)
    assert late[0].settled.is_set()
    assert not late[0].answered


async def test_an_error_of_the_receiver_passes_through(autojump_clock: trio.testing.MockClock) -> None:
    """A `deliver` that raises is a bug: it is not taken for a broken connection."""

    def broken(data: bytes, events: list[Event]) -> None:
        raise LookupError("a bug")

    ours, theirs = trio.testing.memory_stream_pair()
    connection = Connection(ours, Server("h", 1), ServerInfo(), Parser())
    await theirs.send_all(b"PING\r\n")
    with pytest.RaisesGroup(pytest.RaisesExc(LookupError)):
        await connection.run(broken, INTERVAL_S)


def test_a_cause_is_what_the_socket_said() -> None:
    """An operator reads why, not how many attempts were grouped."""
    refused = ConnectionRefusedError(111, "Connection refused")
    tried = OSError("all attempts to connect failed")
    tried.__cause__ = ExceptionGroup("attempts", [refused, ConnectionRefusedError(111, "Connection refused")])
    assert cause_of(tried) == "[Errno 111] Connection refused"
    assert cause_of(TimeoutError()) == "TimeoutError"
