"""Which NATS server to try next, and when: addresses from the options and those the servers tell us.

Pure: randomness is an argument, nothing is resolved or connected here.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit

DEFAULT_PORT = 4222
# Delay before the second attempt at most; doubled for each further one.
_FIRST_DELAY_S = 0.1


@dataclass(frozen=True, slots=True)
class Server:
    """An address and what its URL says about it; shown as host:port, never with its credentials.

    Attributes:
        host, port: where to connect.
        tls: the URL demands TLS.
        user, password, token: from the URL, "" for none; `user` is "" when there is a token.
        tls_name: the name its certificate must have; `host` for servers from the options.
    """

    host: str
    port: int
    tls: bool = False
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    tls_name: str = ""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_servers(urls: str) -> list[Server]:
    """Read `broker.nats.url`: addresses separated by commas, `nats://` where no scheme is given.

    Args:
        urls: `nats://host:port`, `tls://user:password@host`, `token@host`, `host`, ...; a reserved
            character (a comma, too) in user, password or token is percent-encoded.

    Raises:
        ValueError: an address cannot be read; the message names it by its number, since it may hold a secret.
    """
    servers = []
    for number, url in enumerate(urls.split(","), start=1):
        try:
            server = _parse_server(url.strip())
        except ValueError as error:
            raise ValueError(f"broker.nats.url: address {number}: {error}") from None
        servers.append(server)
    return servers


def _parse_server(url: str) -> Server:
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        # The library's messages quote parts of the URL, passwords included.
        raise ValueError("not an address, or its port is not a number from 0 to 65535") from None
    if parts.scheme not in {"nats", "tls"}:
        raise ValueError("its scheme is not nats:// or tls://")
    if not host:
        raise ValueError("no host")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("there is something behind the port")
    user, password, token = _userinfo(parts)
    return Server(host, port or DEFAULT_PORT, parts.scheme == "tls", user, password, token, host)


def _userinfo(parts: SplitResult) -> tuple[str, str, str]:
    user, password = unquote(parts.username or ""), parts.password
    if password is None:
        return "", "", user
    return user, unquote(password), ""


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

    def has_other(self, server: Server) -> bool:
        """Whether a server at another address is known."""
        return any((other.host, other.port) != (server.host, server.port) for other in self._turn)

    def learn(self, teller: Server, addresses: Iterable[str]) -> None:
        """Take the addresses of INFO's `connect_urls`: new ones get in line at random, gone ones leave it.

        A learnt server inherits from the one that told us: credentials, the demand for TLS, and the name
        its certificate must have where it is known by a number only.
        """
        told = {}
        for address in addresses:
            try:
                heard = _parse_server(address)
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
