"""One client over QUIC: what it is sent, what it may do, and how it ends."""

import re
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode, FrameType
from msgspec.structs import replace

from node.config.options import Duration
from node.door import asgi_bridge, http3_connection
from node.door.http3_connection import Http3Connection
from node.door.http3_request import UNACKNOWLEDGED_BYTES_MAX
from tests.node.door.quic_clients import Http3Client
from tests.node.door.quic_nodes import Served, serving, until
from tests.node.transports.served import CONFIG
from tests.patience import PATIENCE_S

SSE = "/sse?channel=past:a"
API = "/api/publish"
KEY = (b"x-api-key", b"secret")


def connection_of(served: Served, client: Http3Client) -> Http3Connection:
    """The node's side of a client."""
    return served.node.quic._by_id[client.quic._peer_cid.cid]


async def listening(client: Http3Client) -> int:
    """An event stream, subscribed; returns its stream id."""
    stream_id = await client.begin("GET", SSE)
    await client.received(stream_id, b"event: subscribed")
    return stream_id


async def hang_up(client: Http3Client, stream_id: int) -> None:
    """The client wants no more of a stream."""
    client.quic.stop_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    await client.transmit()


async def sessions(served: Served, count: int) -> None:
    """Wait until the node has so many."""
    await until(lambda: len(served.node.served.parts.sessions) == count)


async def gone(served: Served) -> None:
    """Wait until the node has no connection, and nothing of one."""
    quic = served.node.quic
    await until(lambda: not quic._connections and not quic._by_id and not quic._handshakes)


def stop_reading(client: Http3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is received from now on is acknowledged, and taken from its buffer never."""
    for name in ("_write_stream_limits", "_write_connection_limits"):
        monkeypatch.setattr(client.quic, name, lambda **_: None)


async def test_a_client_that_never_reads_is_closed_as_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs what one client may, its session ends and is counted, and who reads misses nothing."""
    monkeypatch.setattr(asgi_bridge, "_LAST_BYTES_S", 0.2)
    impatient = replace(CONFIG.client, close_deadline_s=Duration(0.2))
    async with (
        serving(tmp_path, impatient) as served,
        served.client() as reader,
        served.client() as client,
    ):
        stream_id = await listening(client)
        reading = await listening(reader)
        stop_reading(client, monkeypatch)
        connection = connection_of(served, client)
        metrics = served.node.metrics
        most = published = 0
        while not metrics.slow_clients:
            published += 1
            await served.node.served.publish("past:a", b'{"n":%d,"x":"%s"}' % (published, b"x" * 50_000))
            await reader.received(reading, b'{"n":%d,' % published)
            most = max(most, connection.unacknowledged(stream_id))
            assert published < 1000
        assert most <= UNACKNOWLEDGED_BYTES_MAX + 65_536
        await client.until(lambda: stream_id in client.resets)
        assert client.resets[stream_id] == ErrorCode.H3_REQUEST_CANCELLED
        await sessions(served, 1)
        for number in range(published):
            assert b'{"n":%d,' % (number + 1) in reader.bodies[reading]
        # The connection itself is as good as before for what it reads.
        monkeypatch.undo()
        assert (await client.ask("GET", "/livez"))[0] == 200


async def test_a_client_that_reads_nothing_for_too_long_loses_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with less waiting than makes it slow: as the door does with a window that stays closed."""
    client_options = {"max_stream_data": 20_000}
    async with serving(tmp_path, peer_silent_max_s=Duration(0.5)) as served:
        served.node.quic._silent_max_s = 0.5
        async with served.client(**client_options) as client:
            stop_reading(client, monkeypatch)
            stream_id = await client.begin("GET", "/")
            await client.until(lambda: stream_id in client.resets)


@pytest.mark.parametrize("how", ["cancels", "leaves", "vanishes"])
async def test_the_session_of_a_client_that_goes_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whether it ends its stream, its connection, or says nothing any more."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = await listening(client)
        connection = connection_of(served, client)
        await sessions(served, 1)
        if how == "cancels":
            await hang_up(client, stream_id)
        elif how == "leaves":
            await client.close()
        else:
            # It is to be silent for a second after its last word, and not while it is still being served.
            connection._quic._remote_max_idle_timeout = 1.0
            client.quic.send_ping(1)
            await client.transmit()
            monkeypatch.setattr(client.quic, "datagrams_to_send", lambda _: [])
        await sessions(served, 0)
        if how == "cancels":
            assert (await client.ask("GET", "/livez"))[0] == 200
            await until(lambda: not connection._requests)
        else:
            await gone(served)


async def test_a_client_whose_address_changes_keeps_its_streams(tmp_path: Path) -> None:
    """Another port, as after a change of networks: what is published afterwards reaches it there."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = await listening(client)
        before = client.sock.getsockname()
        await client.move()
        assert (await client.ask("GET", "/livez"))[0] == 200
        assert client.sock.getsockname() != before
        await served.node.served.publish("past:a", b'"here"')
        await client.received(stream_id, b'"here"')
        assert len(served.node.quic._connections) == 1


async def test_lost_datagrams_are_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that loses every fourth one has everything in the end, in order."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = await listening(client)
        real, count = client.quic.receive_datagram, 0

        def receive(*arguments: Any) -> None:
            nonlocal count
            count += 1
            if count % 4:
                real(*arguments)

        monkeypatch.setattr(client.quic, "receive_datagram", receive)
        for number in range(50):
            await served.node.served.publish("past:a", b'{"n":%d,"x":"%s"}' % (number, b"x" * 2000))
            await trio.lowlevel.checkpoint()
        await client.received(stream_id, b'{"n":49,')
        found = re.findall(rb'"data":{"n":(\d+)', client.bodies[stream_id])
        assert found == [b"%d" % number for number in range(50)]


async def test_many_requests_leave_nothing_behind(tmp_path: Path) -> None:
    """Answered, cancelled and refused ones: aioquic and the connection know none of them afterwards."""
    async with serving(tmp_path) as served, served.client() as client:
        for _ in range(100):
            await client.ask("GET", "/livez")
            stream_id = await client.begin("GET", SSE)
            client.quic.stop_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            unfinished = await client.begin("POST", API, KEY, last=False)
            client.quic.reset_stream(unfinished, ErrorCode.H3_REQUEST_CANCELLED)
            assert (await client.ask("POST", API, body=b"{}"))[0] == 401
        connection = connection_of(served, client)
        http = connection._http
        assert http is not None
        await until(lambda: not connection._requests)
        await until(lambda: len(connection._quic._streams) < 10 and len(http._stream) < 10)
        await sessions(served, 0)


async def test_a_body_too_long_is_refused_and_not_read(tmp_path: Path) -> None:
    """413 while the client is still sending, and the request to send no more."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = await client.begin("POST", API, KEY, last=False)
        sender = client.quic._streams[stream_id].sender
        await client.send(stream_id, b" " * 6000, last=False)
        await client.until(lambda: stream_id in client.ended)
        assert client.fields[stream_id][b":status"] == b"413"
        await client.until(lambda: sender._reset_error_code is not None)
        assert (await client.ask("GET", "/livez"))[0] == 200


async def test_a_head_without_end_ends_the_connection(tmp_path: Path) -> None:
    """More than `http_server.head_bytes_max` of one frame of fields is not kept."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = client.quic.get_next_available_stream_id()
        frame = encode_uint_var(FrameType.HEADERS) + encode_uint_var(2**30) + b"x" * 50_000
        client.quic.send_stream_data(stream_id, frame)
        await client.transmit()
        with pytest.raises(AssertionError, match="too long"):
            await client.until(lambda: False)
        assert client.over is not None
        assert client.over.error_code == ErrorCode.H3_EXCESSIVE_LOAD


@pytest.mark.parametrize(
    "fields",
    [[(b":method", b"GET"), (b":authority", b"a")], [(b":method", b"CONNECT"), (b":authority", b"a")]],
)
async def test_a_request_that_is_none_ends_its_stream(
    tmp_path: Path, fields: list[tuple[bytes, bytes]]
) -> None:
    """One without a path is reset and counted; the connection goes on."""
    async with serving(tmp_path) as served, served.client() as client:
        stream_id = client.quic.get_next_available_stream_id()
        client.http.send_headers(stream_id, fields, end_stream=True)
        await client.transmit()
        await client.until(lambda: stream_id in client.resets)
        assert served.node.metrics.malformed["head"] == 1
        assert (await client.ask("GET", "/livez"))[0] == 200


async def test_a_client_that_gives_up_is_counted(tmp_path: Path) -> None:
    """One that does not trust the certificate, say; what it writes about that is no line of ours."""
    async with serving(tmp_path) as served, served.client() as client:
        with structlog.testing.capture_logs() as logs:
            client.quic.close(error_code=0x12A, reason_phrase="what it likes")
            await client.transmit()
            await until(lambda: served.node.metrics.refused["http3_client"] > 0)
        assert "what it likes" not in str(logs)
        assert not served.node.metrics.malformed["http3"]


async def test_a_connection_without_requests_ends(tmp_path: Path) -> None:
    """After `http_server.keep_alive_s`, however much its client pings."""
    async with serving(tmp_path) as served, served.client() as client:
        # From its first request on: it may take its time until then.
        connection = connection_of(served, client)
        connection._options = replace(connection._options, keep_alive_s=Duration(0.3))
        assert (await client.ask("GET", "/livez"))[0] == 200
        while client.over is None:
            client.quic.send_ping(1)
            await client.transmit()
            await trio.sleep(0.05)
        assert client.over.error_code == ErrorCode.H3_NO_ERROR


async def test_a_node_that_leaves_parts_from_its_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GOAWAY, and the end with the last response; before it the client is served as ever."""
    monkeypatch.setattr(http3_connection, "_PARTING_S", 0.1)
    async with serving(tmp_path) as served, served.client() as client, served.client() as other:
        stream_id = await listening(client)
        served.node.quic.leave()
        await other.until_over()
        assert (await client.ask("GET", "/livez"))[0] == 200
        await served.node.served.publish("past:a", b'"still"')
        await client.received(stream_id, b'"still"')
        control = next(s for s in client.http._stream.values() if s.stream_type == 0)
        assert control.stream_id in client.quic._streams
        await hang_up(client, stream_id)
        await client.until_over()
        monkeypatch.setattr(http3_connection, "_PARTING_S", PATIENCE_S)
        async with served.client() as newcomer:
            stream_id = await listening(newcomer)
            monkeypatch.setattr(http3_connection, "_PARTING_S", 0.1)
            await hang_up(newcomer, stream_id)
            await newcomer.until_over()
        served.node.quic.leave(leaving=False)
        async with served.client() as newcomer:
            await listening(newcomer)


async def test_a_node_that_stops_ends_when_all_have_been_served(tmp_path: Path) -> None:
    """Idle connections end at once, others with their response; a further request is refused."""
    async with serving(tmp_path) as served, served.client() as client, served.client() as other:
        stream_id = await client.begin("POST", API, KEY, last=False)
        await client.send(stream_id, b'{"channel":"past:a",', last=False)
        connection = connection_of(served, client)
        await until(lambda: bool(connection._requests))
        await served.node.stop()
        await other.until_over()
        late = await client.begin("GET", "/livez")
        await client.until(lambda: late in client.resets)
        assert client.resets[late] == ErrorCode.H3_REQUEST_REJECTED
        await client.send(stream_id, b'"data":1}', last=True)
        await client.until(lambda: stream_id in client.ended)
        assert b"offset" in client.bodies[stream_id]
        await client.until_over()
        await gone(served)


async def test_a_node_that_is_cancelled_says_goodbye(tmp_path: Path) -> None:
    """At once, whatever is being served: its clients need not find out by silence."""
    async with trio.open_nursery() as nursery:
        async with serving(tmp_path) as served:
            client = Http3Client(served.node.door.addresses[0], served.options)
            nursery.start_soon(client.run)
            await client.until(lambda: client.established)
            await listening(client)
        await client.until_over()
        assert client.over is not None
        assert client.over.error_code == ErrorCode.H3_NO_ERROR
    client.sock.close()


async def test_a_handshake_without_end_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `http_server.head_deadline_s` nothing is left of it."""
    begun = trio.Event()
    real = Http3Connection.run

    async def run(connection: Http3Connection) -> None:
        begun.set()
        await real(connection)

    monkeypatch.setattr(Http3Connection, "run", run)
    async with serving(tmp_path, head_deadline_s=Duration(0.2)) as served:
        address = served.node.door.addresses[0]
        client = Http3Client(address, served.options)
        await client.sock.bind(("127.0.0.1", 0))
        client.quic.connect(address, now=trio.current_time())
        await client.transmit()
        await begun.wait()
        await gone(served)
        client.sock.close()
