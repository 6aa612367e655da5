"""From an address to a connection the server has accepted: TCP, INFO, TLS, CONNECT and the PONG behind it."""

import trio

from node.broker.nats import commands
from node.broker.nats.auth import credentials, tls_context, where_credentials_come_from
from node.broker.nats.connection import READ_BYTES, Connection, cause_of
from node.broker.nats.protocol import Control, Event, Parser, ParserError, ServerError, ServerInfo
from node.config.nats_urls import Server
from node.config.options import NatsOptions

# What -ERR says when it is about who we are, lower case, as nats-server 2.15 puts it.
_ABOUT_CREDENTIALS = ("authorization", "authentication", "credentials")


class ConnectError(Exception):
    """No usable connection came about; the message says why and what to look at."""


async def open_connection(server: Server, options: NatsOptions, name: str) -> Connection:
    """Connect, upgrade to TLS where it is wanted, prove who we are, and wait until the server has agreed.

    Args:
        server: where to.
        options: credentials, TLS files, and `connect_deadline_s` for all of it.
        name: what the server shows for this connection.

    Raises:
        ConnectError: it did not work, for the reason given.
        CredentialsError: a file named in the options cannot be used.
    """
    with trio.move_on_after(options.connect_deadline_s):
        try:
            stream = await trio.open_tcp_stream(server.host, server.port)
        except OSError as error:
            raise ConnectError(f"cannot connect: {cause_of(error)}") from error
        try:
            return await handshake(stream, server, options, name)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
    raise ConnectError(f"no connection within {options.connect_deadline_s:g} s")


async def handshake(stream: trio.abc.Stream, server: Server, options: NatsOptions, name: str) -> Connection:
    """The part of `open_connection` behind the TCP handshake; the caller closes the stream if it fails."""
    parser = Parser()
    try:
        info, early = await _read_info(stream, parser)
        if server.tls or options.tls.enabled or info.tls_required:
            if not (info.tls_required or info.tls_available):
                raise ConnectError("TLS is configured, and the server does not offer it")
            if early or parser.holds_data:
                # It would be taken for something said under TLS.
                raise ConnectError("the server sent more than INFO before TLS")
            stream = trio.SSLStream(
                stream, tls_context(options.tls), server_hostname=server.tls_name, https_compatible=True
            )
            await stream.do_handshake()
        members = {
            "verbose": False,
            "pedantic": False,
            "echo": True,
            "headers": True,
            "no_responders": True,
            "protocol": 1,
            "tls_required": isinstance(stream, trio.SSLStream),
            "lang": "python",
            "version": "broadcast-cluster",
            "name": name,
            **credentials(options, server, info.nonce),
        }
        await stream.send_all(commands.connect(members) + commands.PING)
        return Connection(stream, server, await _agreement(stream, parser, info, options, server), parser)
    except ParserError as error:
        raise ConnectError(f"not a NATS server, or a broken one: {error}") from error
    except trio.BrokenResourceError as error:
        raise ConnectError(f"the connection broke: {cause_of(error)}") from error


async def _read_info(stream: trio.abc.Stream, parser: Parser) -> tuple[ServerInfo, list[Event]]:
    while True:
        events = parser.receive(await _some(stream))
        if events:
            info, *rest = events
            if not isinstance(info, ServerInfo):
                raise ParserError("the first thing said is not INFO")
            return info, rest


async def _agreement(
    stream: trio.abc.Stream, parser: Parser, info: ServerInfo, options: NatsOptions, server: Server
) -> ServerInfo:
    """Wait for the PONG that follows CONNECT; the newest INFO is returned."""
    agreed = False
    while not agreed:
        for event in parser.receive(await _some(stream)):
            if isinstance(event, ServerInfo):
                info = event
            elif isinstance(event, ServerError):
                hint = ""
                if any(word in event.text.lower() for word in _ABOUT_CREDENTIALS):
                    hint = f"; look at {where_credentials_come_from(options, server)}"
                raise ConnectError(f"refused by the server: {event.text}{hint}")
            elif event is Control.PONG:
                agreed = True
            elif event is Control.PING:
                await stream.send_all(commands.PONG)
    return info


async def _some(stream: trio.abc.Stream) -> bytes:
    data = await stream.receive_some(READ_BYTES)
    if not data:
        raise ConnectError("closed by the server before it answered CONNECT")
    return bytes(data)
