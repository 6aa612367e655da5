"""The UDP port: whose datagram it is, who may come in, and that nothing in a datagram ends more than one."""

import json
import os
import socket
from pathlib import Path

import pytest
import trio

from node.config.options import Http3Options
from node.door import quic as quic_module
from node.door.http3_connection import Http3Connection
from node.door.listeners import DoorError
from tests.node.door.quic_clients import Http3Client, connected
from tests.node.door.quic_nodes import serving, until

KEY = (b"x-api-key", b"secret")
SSE = "/sse?channel=past:a"


async def test_pages_api_and_streams_on_one_connection(tmp_path: Path) -> None:
    """A page, a publication and an event stream that has it, at the same time."""
    async with serving(tmp_path) as served, served.client() as client:
        status, body = await client.ask("GET", "/")
        assert (status, body[:15]) == (200, b"<!doctype html>")
        stream_id = await client.begin("GET", SSE)
        await client.received(stream_id, b"event: subscribed")
        data = b'{"channel":"past:a","data":{"over":"h3"}}'
        status, body = await client.ask("POST", "/api/publish", KEY, body=data)
        assert status == 200
        assert json.loads(body)["result"]["offset"] > 0
        await client.received(stream_id, b'{"over":"h3"}')
        assert client.fields[stream_id][b"content-type"].startswith(b"text/event-stream")
        assert b"date" in client.fields[stream_id]
        assert (await client.ask("GET", "/nowhere"))[0] == 404
        assert (await client.ask("POST", "/api/publish", body=data))[0] == 401


async def test_garbage_ends_nothing(tmp_path: Path) -> None:
    """Datagrams of noise, of half a packet, and with the id of a connection: others are served as before."""
    async with serving(tmp_path) as served, served.client() as client:
        address = served.node.door.addresses[0]
        known = client.quic._peer_cid.cid
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for size in (0, 1, 2, 7, 8, 9, 20, 1199, 1200, 1500, 9000):
                for first in (b"", b"\x00", b"\x40", b"\x80", b"\xc0", b"\xff\x00\x00\x00\x01\x08"):
                    stranger.sendto((first + os.urandom(size))[:9000], address)
                stranger.sendto(b"\x40" + known + os.urandom(size), address)
                stranger.sendto(b"\xc0\x00\x00\x00\x01\x08" + known + b"\x00" + os.urandom(size), address)
        assert (await client.ask("GET", "/livez"))[0] == 200
        async with served.client() as another:
            assert (await another.ask("GET", "/livez"))[0] == 200


async def test_what_is_longer_than_datagrams_are_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait while a datagram is read, so that none may be long, whoever sends it."""
    taken: list[int] = []
    real = Http3Connection.take

    def take(connection: Http3Connection, data: bytes, address: tuple[str, int]) -> None:
        taken.append(len(data))
        real(connection, data, address)

    monkeypatch.setattr(Http3Connection, "take", take)
    async with serving(tmp_path) as served, served.client() as client:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            datagram = b"\x40" + client.quic._peer_cid.cid + bytes(60_000)
            stranger.sendto(datagram, served.node.door.addresses[0])
        while max(taken) < quic_module._DATAGRAM_BYTES_MAX:
            assert (await client.ask("GET", "/livez"))[0] == 200
        assert max(taken) == 2048


async def test_a_fault_in_the_library_ends_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a datagram brings the library to raise: it is counted, and the others go on."""
    async with serving(tmp_path) as served, served.client() as other:
        async with served.client() as client:
            (connection,) = [
                connection
                for connection in served.node.quic._connections
                if connection._quic.host_cid == client.quic._peer_cid.cid
            ]

            def fail(*_: object) -> None:
                raise IndexError("a fault")

            monkeypatch.setattr(connection._quic, "receive_datagram", fail)
            await client.begin("GET", "/livez")
            await client.until_over()
        # What the client had said twice may come as long as the connection is known.
        await until(lambda: connection not in served.node.quic._connections)
        assert served.node.metrics.failures >= 1
        served.node.metrics.failures = 0
        assert (await other.ask("GET", "/livez"))[0] == 200


async def test_a_client_has_to_show_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many handshakes under way a new one costs a round trip, and nothing but that."""
    monkeypatch.setattr(quic_module, "_TRUSTED_HANDSHAKES", 0)
    async with serving(tmp_path) as served, served.client() as client:
        assert client.quic._retry_count == 1
        # On a busy machine the client may have asked again before it was told.
        assert served.node.metrics.refused["quic_retry"] >= 1
        assert (await client.ask("GET", "/livez"))[0] == 200
        assert not served.node.quic._handshakes


async def test_no_more_connections_than_allowed(tmp_path: Path) -> None:
    """One more than the limit finds no answer, is counted, and comes in once another has left."""
    http3 = Http3Options(enabled=True, connection_limit=1)
    async with serving(tmp_path, http3=http3) as served, served.client() as client:
        late = Http3Client(served.node.door.addresses[0], served.options)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late.run)
            while not served.node.metrics.refused["quic_limit"]:
                await client.ask("GET", "/livez")
            await client.close()
            await late.until(lambda: late.established)
            nursery.cancel_scope.cancel()
        late.sock.close()


async def test_another_version_is_answered_with_ours(tmp_path: Path) -> None:
    """A client that begins with a version nobody knows is told which there are, and comes in with one."""
    async with serving(tmp_path) as served:
        options = served.options
        options.supported_versions = [0x1A2A3A4A, 1]
        async with connected(served.node.door.addresses[0], options) as client:
            assert (await client.ask("GET", "/livez"))[0] == 200
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as small:
            # Too short to be a beginning: an answer would be longer.
            small.sendto(b"\xc0\x1a\x2a\x3a\x4a\x08" + bytes(8) + b"\x00" + bytes(100), client._address)
        async with served.client() as client:
            assert (await client.ask("GET", "/livez"))[0] == 200


async def test_a_renewed_certificate_is_for_those_who_come(tmp_path: Path) -> None:
    """New connections see the new one; who is there already stays; an unusable one changes nothing."""
    async with serving(tmp_path) as served, served.client() as before:
        assert served.node.door.tls is not None
        served.authority.issue()
        served.node.door.tls.load()
        async with served.client() as after:
            old, new = (client.quic.tls._peer_certificate for client in (before, after))
            assert old != new
            assert (await before.ask("GET", "/livez"))[0] == 200
        served.authority.key_pem.write_text("nothing")
        with pytest.raises(DoorError, match="key_pem"):
            served.node.quic.load()
        async with served.client() as still:
            assert still.quic.tls._peer_certificate == new


async def test_what_the_machine_does_not_take_is_sent_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full socket holds up a datagram, and a refused one is sent again by QUIC; both lose nothing."""
    sent = 0
    real = quic_module._Way.try_send

    def try_send(way: quic_module._Way, data: bytes, address: tuple[str, int]) -> bool:
        nonlocal sent
        sent += 1
        if sent % 3 == 0:
            return False
        if sent % 5 == 0:
            way._lost()
            return True
        return real(way, data, address)

    monkeypatch.setattr(quic_module._Way, "try_send", try_send)
    async with serving(tmp_path) as served, served.client() as client:
        for _ in range(20):
            status, body = await client.ask("GET", "/")
            assert (status, body[-8:]) == (200, b"</html>\n")
        assert served.node.quic._unsent


async def test_answers_over_tcp_tell_of_it(tmp_path: Path) -> None:
    """With the port outside: pages by hypercorn and the server API's fast path; not over HTTP/3 itself."""
    http3 = Http3Options(enabled=True, announced_port=443)
    async with serving(tmp_path, http3=http3) as served:
        context = served.authority.client_context()
        for request in (b"GET /livez HTTP/1.1\r\n", b"POST /api/info HTTP/1.1\r\nX-API-Key: secret\r\n"):
            plain = await trio.open_tcp_stream(*served.node.door.addresses[0])
            stream = trio.SSLStream(plain, context, server_hostname="localhost", https_compatible=True)
            await stream.send_all(request + b"Host: localhost\r\nContent-Length: 0\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive_some()
            assert head.lower().count(b'\r\nalt-svc: h3=":443"; ma=3600\r\n') == 1
            await plain.aclose()
        async with served.client() as client:
            await client.ask("GET", "/livez")
            assert b"alt-svc" not in client.fields[0]
