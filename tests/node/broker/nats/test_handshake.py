"""The way to a connection over a memory stream: what is sent, what is refused, and what the error says."""

import ssl
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing
import trustme

from node.broker.nats.connection import Connection
from node.broker.nats.handshake import ConnectError, handshake, open_connection
from node.config.nats_urls import parse_servers
from node.config.options import NatsOptions, NatsTlsOptions
from tests.patience import PATIENCE_S

INFO = b'INFO {"server_id":"N","max_payload":100,"nonce":"abc"}\r\n'
(SERVER,) = parse_servers("nats://h")


async def shake(
    *script: bytes, server_url: str = "nats://h", options: NatsOptions | None = None
) -> tuple[Connection, bytes]:
    """Handshake with a server that sends INFO, waits for what we say, sends the rest, and keeps quiet."""
    ours, theirs = trio.testing.memory_stream_pair()
    (server,) = parse_servers(server_url)
    said = b""

    async def serve() -> None:
        nonlocal said
        first, *rest = script
        await theirs.send_all(first)
        for part in rest:
            said += await theirs.receive_some()
            await theirs.send_all(part)
        if not rest:
            await theirs.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        connection = await handshake(ours, server, options or NatsOptions(), "node-1")
        nursery.cancel_scope.cancel()
    return connection, said


async def refused(*script: bytes, server_url: str = "nats://h", options: NatsOptions | None = None) -> str:
    """The message of the ConnectError such a server brings about."""
    with pytest.RaisesGroup(ConnectError) as caught:
        await shake(*script, server_url=server_url, options=options)
    return str(caught.value.exceptions[0])


async def test_connect_says_what_we_are_and_what_we_want() -> None:
    """CONNECT turns headers, echo and no-responders on and verbose off, names us, and a PING follows."""
    connection, said = await shake(INFO, b"PONG\r\n", options=NatsOptions(user="u", password="p"))
    line, ping, rest = said.split(b"\r\n")
    assert (ping, rest) == (b"PING", b"")
    members = msgspec.json.decode(line.removeprefix(b"CONNECT "))
    assert members["name"] == "node-1"
    assert {key for key, value in members.items() if value is True} == {"echo", "headers", "no_responders"}
    assert members["protocol"] == 1
    assert (members["user"], members["pass"]) == ("u", "p")
    assert connection.info.max_payload == 100


async def test_a_ping_and_a_newer_info_meanwhile() -> None:
    """A PING is answered before we are accepted, and an INFO behind CONNECT is the one that counts."""
    newer = b'INFO {"max_payload":200}\r\n'
    connection, said = await shake(INFO, b"PING\r\n", newer + b"PONG\r\n")
    assert said.endswith(b"PING\r\nPONG\r\n")
    assert connection.info.max_payload == 200


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ((b"",), "closed by the server"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "not a NATS server"),
        ((b"PING\r\n",), "not INFO"),
        ((b"INFO {]\r\n",), "not a NATS server"),
        ((INFO, b"-ERR 'Authorization Violation'\r\n"), "look at broker.nats.token"),
        ((INFO, b"-ERR 'User Authentication Expired'\r\n"), "look at broker.nats.token"),
        (
            (INFO, b"-ERR 'maximum connections exceeded'\r\n"),
            "refused by the server: maximum connections exceeded",
        ),
        ((INFO, b"garbage\r\n"), "not a NATS server"),
    ],
)
async def test_what_goes_wrong_is_said(script: tuple[bytes, ...], says: str) -> None:
    """Each way a handshake fails has its message; trouble with credentials names the option to look at."""
    message = await refused(*script, options=NatsOptions(token="sesame"))
    assert says in message
    assert "sesame" not in message


async def test_tls_is_never_given_up_silently() -> None:
    """Where TLS is configured and the server offers none, nothing is sent to it."""
    for url, tls in (("tls://h", False), ("nats://h", True)):
        options = NatsOptions(tls=NatsTlsOptions(enabled=tls))
        assert "does not offer it" in await refused(INFO, b"", server_url=url, options=options)


async def test_nothing_said_before_tls_counts() -> None:
    """Commands slipped in behind INFO, before TLS protects them, end the handshake."""
    info = b'INFO {"tls_required":true}\r\n'
    for slipped in (b"PONG\r\n", b"MSG a 1"):
        assert "more than INFO" in await refused(info + slipped, b"")


@pytest.mark.parametrize(("name", "works"), [("h", True), ("other", False)])
async def test_tls_follows_info_and_checks_the_name(tmp_path: Path, name: str, works: bool) -> None:
    """A server that requires TLS gets it before CONNECT, and one with another's certificate gets nothing."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    ours, theirs = trio.testing.memory_stream_pair()
    said = []

    async def serve() -> None:
        await theirs.send_all(b'INFO {"tls_required":true}\r\n')
        secured = trio.SSLStream(theirs, context, server_side=True)
        try:
            said.append(await secured.receive_some())
            await secured.send_all(b"PONG\r\n")
        except trio.BrokenResourceError:
            said.append(b"")

    options = NatsOptions(tls=NatsTlsOptions(ca_file=str(tmp_path / "ca.pem")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        if works:
            await handshake(ours, SERVER, options, "node")
        else:
            with pytest.raises(ConnectError, match="certificate"):
                await handshake(ours, SERVER, options, "node")
            await trio.aclose_forcefully(ours)
    assert said[0].startswith(b"CONNECT") == works


async def test_a_silent_server_has_its_deadline() -> None:
    """A port that takes connections and says nothing is given up at the deadline, its socket closed."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    (server,) = parse_servers(f"127.0.0.1:{port}")
    options = NatsOptions(connect_deadline_s=0.05)
    async with listener:
        with trio.fail_after(PATIENCE_S):
            with pytest.raises(ConnectError, match=r"no connection within 0\.05 s"):
                await open_connection(server, options, "node")
            stream = await listener.accept()
            assert await stream.receive_some() == b""
            await stream.aclose()
    with pytest.raises(ConnectError, match="cannot connect"):
        await open_connection(server, options, "node")
