"""Which NATS server to try next, and when: addresses from the options and those the servers tell us.

Pure: randomness is an argument, nothing is resolved or connected here.
"""

import random
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from node.config.nats_urls import Server, parse_server

# Delay before the second attempt at most; doubled for each further one.
_FIRST_DELAY_S = 0.1


class ServerPool:
    """The known servers in the order they are tried: random, each in its turn.

    Args:
        configured: servers from the options; they stay whatever happens.
        rng: source of the order.
    """

    def __init__(self, configured: Iterable[Server], rng: random.Random) -> None:
        self._configured = tuple(configured)
        self._rng = rng
        self._turn = list(self._configured)
        rng.shuffle(self._turn)

    def next(self) -> Server:
        """The server to try now; it goes to the end of the line."""
        server = self._turn.pop(0)
        self._turn.append(server)
        return server

    def learn(self, teller: Server, addresses: Iterable[str]) -> None:
        """Take the addresses of INFO's `connect_urls`: new ones get in line at random, gone ones leave it.

        A learnt server inherits from the one that told us: credentials, the demand for TLS, and the name
        its certificate must have where it is known by a number only.
        """
        told = {}
        for address in addresses:
            try:
                heard = parse_server(address)
            except ValueError:
                continue  # an address of another kind (a websocket's); we could not use it anyway
            name = teller.tls_name if _is_ip(heard.host) else heard.host
            told[heard.host, heard.port] = replace(teller, host=heard.host, port=heard.port, tls_name=name)
        configured = {(server.host, server.port) for server in self._configured}
        self._turn = [s for s in self._turn if (s.host, s.port) in configured or (s.host, s.port) in told]
        known = {(server.host, server.port) for server in self._turn}
        for key, server in told.items():
            if key not in known:
                self._turn.insert(self._rng.randrange(len(self._turn) + 1), server)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def reconnect_delay_s(attempt: int, delay_max_s: float, rng: random.Random) -> float:
    """How long to wait before an attempt: full jitter, so that not everybody comes back at once.

    Args:
        attempt: failures since the feed last stood, 0 right after it broke.
        delay_max_s: upper end of the longest delay, seconds.
        rng: source of the jitter.
    """
    # The exponent is bounded: a float overflows at 2.0**1024.
    return rng.uniform(0.0, min(delay_max_s, _FIRST_DELAY_S * 2.0 ** min(attempt, 30)))
