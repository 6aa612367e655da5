"""Nodes with HTTP/3, for tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio
from aioquic.quic.configuration import QuicConfiguration
from msgspec.structs import replace

from node.config.options import ClientOptions, Http3Options
from tests.node.door.authority import Authority
from tests.node.door.clients import LOCAL
from tests.node.door.nodes import Node, running
from tests.node.door.quic_clients import Http3Client, configuration, connected
from tests.node.transports.served import CONFIG


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something is so in the node."""
    while not holds():  # noqa: ASYNC110 - the node tells nobody
        await trio.sleep(0.01)


class Served:
    """A node with HTTP/3, and whom its clients trust."""

    def __init__(self, node: Node, authority: Authority) -> None:
        self.node = node
        self.authority = authority

    @property
    def options(self) -> QuicConfiguration:
        return configuration(self.authority.ca_pem)

    def client(self, **changes: object) -> AbstractAsyncContextManager[Http3Client]:
        options = self.options
        for name, value in changes.items():
            setattr(options, name, value)
        return connected(self.node.door.addresses[0], options)


@asynccontextmanager
async def serving(
    directory: Path, client: ClientOptions = CONFIG.client, **changes: object
) -> AsyncIterator[Served]:
    """A node that speaks HTTP/3.

    Args:
        directory: for its certificate.
        client: the options of clients.
        changes: of `http_server`.
    """
    authority = Authority(directory)
    http3 = Http3Options(enabled=True)
    options = replace(LOCAL, **{"tls": authority.options, "http3": http3, **changes})
    async with running(http_server=options, client=client) as node:
        yield Served(node, authority)
