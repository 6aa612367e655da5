"""Addresses of NATS servers as `broker.nats.url` writes them: read, and shown without logins. Pure."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

DEFAULT_PORT = 4222
_HIDDEN = "(hidden)"


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
            server = parse_server(url.strip())
        except ValueError as error:
            raise ValueError(f"broker.nats.url: address {number}: {error}") from None
        servers.append(server)
    return servers


def parse_server(url: str) -> Server:
    """Read one address; see `parse_servers`.

    Raises:
        ValueError: it cannot be read; the message does not quote it.
    """
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


def hide_logins(urls: str) -> str:
    """The same addresses for people to see: the user, password or token each may carry is not shown.

    Args:
        urls: as `parse_servers` takes them, or what should have been that.
    """
    return ",".join(map(_hide_login, urls.split(",")))


def _hide_login(url: str) -> str:
    scheme, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    # The last `@` ends the login, as for `urlsplit`: a password may hold one that was not encoded.
    _, at, host = rest.rpartition("@")
    return f"{scheme}{slashes}{_HIDDEN}{at}{host}" if at else url
