"""The door under TLS: who gets in, who does not and how that ends, and the certificate's renewal."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio

from node.config.options import HttpServerOptions
from node.door.connection import Connection
from node.door.head import Head
from node.door.listeners import DoorError
from node.door.tls import Tls, open_context
from node.telemetry.metrics import Metrics
from tests.node.door.authority import Authority
from tests.node.door.clients import LOCAL, Client, Served, echo, serving
from tests.patience import PATIENCE_S

REQUEST = b"GET /a HTTP/1.1\r\nHost: test\r\n\r\n"
LARGE = 3_000_000


async def large(connection: Connection, head: Head) -> bool:
    """A handler that answers with much."""
    return await connection.answer(head, 200, "x" * LARGE)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom both ends trust."""
    return Authority(tmp_path)


def secure(authority: Authority) -> HttpServerOptions:
    return msgspec.structs.replace(LOCAL, tls=authority.options)


@asynccontextmanager
async def serving_securely(authority: Authority) -> AsyncIterator[Served]:
    with trio.fail_after(PATIENCE_S):
        async with serving({"/a": echo, "/large": large}, options=secure(authority)) as served:
            yield served


async def connect(served: Served, context: ssl.SSLContext) -> Client:
    """A client whose certificate has been accepted, as far as it knows."""
    plain = (await served.connect()).stream
    stream = trio.SSLStream(plain, context, server_hostname="localhost", https_compatible=True)
    await stream.do_handshake()
    return Client(cast("trio.SocketStream", stream))


def tls(client: Client) -> "trio.SSLStream[trio.SocketStream]":
    return cast("trio.SSLStream[trio.SocketStream]", client.stream)


async def test_requests_are_served(authority: Authority) -> None:
    """Several on a connection, with bodies and long answers, and the end is said in TLS."""
    async with serving_securely(authority) as served:
        client = await connect(served, authority.client_context())
        assert tls(client).selected_alpn_protocol() == "http/1.1"
        assert (await client.ask(REQUEST)).body == b"GET /a\n"
        body = b"b" * 40_000
        post = b"POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert (await client.ask(post, body)).body == b"POST /a " + body + b"\n"
        assert len((await client.ask(REQUEST.replace(b"/a", b"/large"))).body) == LARGE + 1
        answer = await client.ask(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert answer.body == b"GET /a\n"
        assert await client.receive() == b""
        assert not served.metrics.refused


async def test_a_request_within_the_last_flight_is_served(authority: Authority) -> None:
    """TLS 1.3 lets a client send its request together with the end of the handshake."""
    async with serving_securely(authority) as served:
        plain = (await served.connect()).stream
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = authority.client_context()
        client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                await plain.send_all(outgoing.read())
                incoming.write(await plain.receive_some())
            else:
                break
        client.write(REQUEST)
        await plain.send_all(outgoing.read())
        while True:
            try:
                assert client.read().startswith(b"HTTP/1.1 200 ")
                break
            except ssl.SSLWantReadError:
                incoming.write(await plain.receive_some())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions(authority: Authority, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3, with ciphers that HTTP/2 allows."""
    async with serving_securely(authority) as served:
        context = authority.client_context("h2")
        context.minimum_version = context.maximum_version = version
        client = await connect(served, context)
        assert tls(client).selected_alpn_protocol() == "h2"
        name, spoken, _ = tls(client).cipher() or ("", "", 0)
        assert spoken == ("TLSv1.2" if version == ssl.TLSVersion.TLSv1_2 else "TLSv1.3")
        assert "GCM" in name or "CHACHA20" in name
        assert (await client.ask(REQUEST)).body == b"GET /a\n"


async def test_older_versions_are_refused(authority: Authority) -> None:
    """TLS 1.1 gets an alert that says so, and is counted."""
    async with serving_securely(authority) as served:
        context = authority.client_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match=r"TLSv1_1 is deprecated"):
            context.minimum_version = ssl.TLSVersion.TLSv1_1
        with pytest.warns(DeprecationWarning, match=r"TLSv1_1 is deprecated"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(trio.BrokenResourceError) as refused:
            await connect(served, context)
        assert "PROTOCOL_VERSION" in str(refused.value.__cause__)
        await served.connected(0)
        assert served.metrics.refused == {"tls_handshake": 1}


@pytest.mark.parametrize("said", [REQUEST, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x80nonsense", b"\n"])
async def test_plain_text_is_told_so(authority: Authority, said: bytes) -> None:
    """Who does not speak TLS gets an answer that a person can read, its end, and is counted."""
    async with serving_securely(authority) as served:
        client = await served.connect()
        answer = await client.ask(said)
        assert answer.status == 400
        assert answer.body == b"this port speaks TLS; use https:// or wss://\n"
        assert answer.headers["connection"] == "close"
        assert await client.ended()
        assert served.metrics.refused == {"plain_text": 1}


async def test_half_a_handshake_ends_in_time(
    authority: Authority, autojump_clock: trio.testing.MockClock
) -> None:
    """Many clients that begin and never go on hold up nobody, and are gone after the deadline."""
    async with serving_securely(authority) as served:
        hello = ssl.MemoryBIO()
        half = authority.client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            half.do_handshake()
        first = hello.read()
        slow = [await served.connect() for _ in range(50)]
        for number, client in enumerate(slow):
            await client.send(first[: number + 1] if number < 49 else first)
        client = await connect(served, authority.client_context())
        assert (await client.ask(REQUEST)).status == 200
        await client.aclose()
        await served.connected(0)
        assert served.metrics.refused == {"late_handshake": 50}


async def test_who_says_nothing_or_leaves_early_is_no_failure_of_ours(
    authority: Authority, autojump_clock: trio.testing.MockClock
) -> None:
    """A silent connection ends with the deadline; one that ends within the handshake is counted."""
    async with serving_securely(authority) as served:
        silent, leaving = await served.connect(), await served.connect()
        await leaving.send(b"\x16\x03\x01")
        await leaving.aclose()
        assert await silent.ended()
        await served.connected(0)
        assert served.metrics.refused == {"tls_handshake": 1}
        assert served.metrics.failures == 0


async def test_garbage_within_a_connection_ends_it(authority: Authority) -> None:
    """A record that cannot be decrypted is the end, not a failure of the node."""
    async with serving_securely(authority) as served:
        client = await connect(served, authority.client_context())
        assert (await client.ask(REQUEST)).status == 200
        await tls(client).transport_stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
        await served.connected(0)
        assert served.metrics.failures == 0


async def test_stopping_ends_handshakes(authority: Authority) -> None:
    """A node that stops waits for nobody's handshake and counts none of them."""
    async with serving_securely(authority) as served:
        client = await served.connect()
        await client.send(b"\x16\x03\x01")
        await served.connected(1)
        await trio.testing.wait_all_tasks_blocked()
        served.door.stop()
        assert await client.ended()
        assert not served.metrics.refused


async def test_clients_without_a_certificate_are_refused(tmp_path: Path) -> None:
    """With authorities of clients given, the handshake needs a certificate of one of them."""
    authority = Authority(tmp_path, clients=True)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").client_context(certified=True)
    stranger.load_verify_locations(authority.ca_pem)
    async with serving_securely(authority) as served:
        certified = await connect(served, authority.client_context(certified=True))
        assert (await certified.ask(REQUEST)).status == 200
        for context in (authority.client_context(), stranger):
            client = await connect(served, context)
            # TLS 1.3 tells a client after its own part of the handshake.
            with pytest.raises(trio.BrokenResourceError):
                await client.receive()
        assert served.metrics.refused == {"tls_handshake": 2}


async def test_a_renewed_certificate_is_served(
    authority: Authority, autojump_clock: trio.testing.MockClock
) -> None:
    """New connections get the new one; a broken one is logged and counted, and changes nothing."""
    metrics = Metrics()
    tls = Tls(HttpServerOptions(tls=authority.options), metrics)
    tls.load()
    first = tls._context
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tls.watch)
        await trio.sleep(10)
        assert tls._context is first
        authority.key_pem.write_text("half a key")
        await trio.sleep(10)
        assert tls._context is first
        assert tls._unusable == 1
        authority.key_pem.unlink()
        await trio.sleep(10)
        assert tls._context is first
        assert tls._unusable == 2
        authority.issue()
        await trio.sleep(10)
        assert tls._context is not first
        nursery.cancel_scope.cancel()


async def test_renewal_leaves_connections_alone(authority: Authority) -> None:
    """Connections of before go on; later ones get the new certificate, while others come and go."""
    async with serving_securely(authority) as served:
        context = authority.client_context()
        old = await connect(served, context)
        assert (await old.ask(REQUEST)).status == 200
        before = cast("Any", tls(old)).getpeercert(binary_form=True)
        authority.issue()
        after = before
        while after == before:
            client = await connect(served, context)
            assert (await client.ask(REQUEST)).status == 200
            after = cast("Any", tls(client)).getpeercert(binary_form=True)
            await client.aclose()
            await trio.sleep(0.05)
        assert (await old.ask(REQUEST)).status == 200
        assert not served.metrics.refused


def test_unusable_files_are_named(authority: Authority, tmp_path: Path) -> None:
    """The message says which option to look at."""
    with pytest.raises(DoorError, match=r"http_server\.tls\.cert_pem.*No such file"):
        open_context(msgspec.structs.replace(authority.options, cert_pem=str(tmp_path / "none")))
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").options
    with pytest.raises(DoorError, match=r"http_server\.tls\.cert_pem.*KEY_VALUES_MISMATCH"):
        open_context(msgspec.structs.replace(authority.options, key_pem=other.key_pem))
    with pytest.raises(DoorError, match=r"http_server\.tls\.client_ca_pem"):
        open_context(msgspec.structs.replace(authority.options, client_ca_pem=authority.options.key_pem))


async def test_a_door_without_a_usable_certificate_does_not_open(authority: Authority) -> None:
    """The node says why at once."""
    authority.key_pem.write_text("")
    with pytest.RaisesGroup(DoorError, allow_unwrapped=True, flatten_subgroups=True):
        async with serving_securely(authority):
            pass
