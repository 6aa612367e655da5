"""How a feed comes to a connection: the servers in turn, and a line in the log where none is had.

Decides nothing about when: it makes one attempt each time it is asked.
"""

import random
from collections.abc import Iterable

import structlog

from node.broker.nats.auth import CredentialsError
from node.broker.nats.connection import Connection
from node.broker.nats.handshake import ConnectError, open_connection
from node.broker.nats.servers import ServerPool, reconnect_delay_s
from node.config.nats_urls import Server, parse_servers
from node.config.options import NatsOptions

logger = structlog.get_logger(__name__)


class Dialer:
    """The servers a feed may go to.

    Args:
        options: servers, credentials and limits.
        name: what the servers show for its connections.
        rng: for the order of servers and the delays.

    Raises:
        ValueError: `broker.nats.url` cannot be read.

    Attributes:
        failure: why the last attempt failed, "" after one that did not.
    """

    def __init__(self, options: NatsOptions, name: str, rng: random.Random) -> None:
        self._options = options
        self._name = name
        self._rng = rng
        self._pool = ServerPool(parse_servers(options.url), rng)
        self.failure = ""

    def learn(self, teller: Server, addresses: Iterable[str]) -> None:
        """See ServerPool.learn."""
        self._pool.learn(teller, addresses)

    def delay_s(self, attempt: int) -> float:
        """How long to wait before an attempt; see reconnect_delay_s."""
        return reconnect_delay_s(attempt, self._options.reconnect_delay_max_s, self._rng)

    async def connect(self, attempt: int) -> Connection | None:
        """Try the next server; None if it does not take us, which is logged unless it was just before.

        Args:
            attempt: failures before this one.
        """
        server = self._pool.next()
        try:
            connection = await open_connection(server, self._options, self._name)
        except (ConnectError, CredentialsError) as error:
            if str(error) != self.failure or worth_a_line(attempt):
                self.failure = str(error)
                logger.warning(
                    "feed cannot connect", server=str(server), reason=self.failure, attempt=attempt + 1
                )
            return None
        self.failure = ""
        return connection


def worth_a_line(count: int) -> bool:
    """Whether to log what has happened so many times: the first time, and at each power of two."""
    return count & (count - 1) == 0
