"""Listening sockets: where a node is reached, and what goes wrong there.

Options set on a listening socket are inherited by what it accepts (Linux), so that accepting costs no
further calls.
"""

import errno
import socket
from collections.abc import Iterable

import trio

from node.config.options import HttpServerOptions

# How often port 0 is tried for a port that is free on every address.
_FREE_PORT_ATTEMPTS = 10
# Address families that a machine may lack although its resolver names them.
_FAMILY_MISSING = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})

# What the kernel may keep of datagrams until they are read, or sent.
_DATAGRAMS_KEPT_BYTES = 4_194_304


class DoorError(Exception):
    """The node cannot listen where it was told to; the message says what to change."""


async def open_listeners(options: HttpServerOptions) -> list[socket.socket]:
    """Listen on every address of `http_server.address`, on one port.

    Returns:
        Non-blocking listening sockets, at least one; the caller closes them.

    Raises:
        DoorError: the port is taken or not allowed, or the address is none of this machine's.
    """
    where = _name(options.address, options.port)
    try:
        resolved = await trio.socket.getaddrinfo(
            options.address or None, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise DoorError(f"cannot listen on {where}: {error}; change http_server.address") from error
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in resolved))
    for attempt in range(_FREE_PORT_ATTEMPTS):
        try:
            return _listen_on_all(addresses, options)
        except OSError as error:
            # Port 0: what one address chose may be taken on another.
            if options.port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < _FREE_PORT_ATTEMPTS:
                continue
            raise DoorError(_advice(error, where)) from error
    raise AssertionError("the last attempt returns or raises")


def _listen_on_all(
    addresses: Iterable[tuple[int, tuple[object, ...]]], options: HttpServerOptions
) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    port = options.port
    missing: OSError | None = None
    try:
        for family, address in addresses:
            try:
                listener = _listen(family, (address[0], port, *address[2:]), options)
            except OSError as error:
                if error.errno in _FAMILY_MISSING:
                    missing = error
                    continue
                raise
            listeners.append(listener)
            port = listener.getsockname()[1]
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    if not listeners:
        raise missing or OSError(errno.EADDRNOTAVAIL, "the address resolves to nothing")
    return listeners


def _listen(family: int, address: tuple[object, ...], options: HttpServerOptions) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        silent_ms = int(options.peer_silent_max_s * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silent_ms)
        listener.bind(address)
        listener.listen(options.backlog)
    except OSError:
        listener.close()
        raise
    return listener


def open_datagram_sockets(addresses: Iterable[tuple[str, int]], *, reuse_port: bool) -> list[socket.socket]:
    """Non-blocking UDP sockets on addresses where a TCP port is already; the caller closes them.

    Args:
        addresses: host and port of each.
        reuse_port: see `http_server.reuse_port`.

    Raises:
        DoorError: another process has the UDP port.
    """
    sockets: list[socket.socket] = []
    for host, port in addresses:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sockets.append(sock)
        try:
            _bind_datagrams(sock, (host, port), reuse_port=reuse_port)
        except OSError as error:
            for opened in sockets:
                opened.close()
            raise DoorError(_advice(error, _name(host, port, "UDP port"))) from error
    return sockets


def _bind_datagrams(sock: socket.socket, address: tuple[str, int], *, reuse_port: bool) -> None:
    sock.setblocking(False)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # One socket has the datagrams of all clients; the machine gives as much of this as it allows.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAMS_KEPT_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _DATAGRAMS_KEPT_BYTES)
    sock.bind(address)


def _advice(error: OSError, where: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {where}: another process has it; stop that one or change http_server.port"
    if error.errno == errno.EACCES:
        return f"cannot listen on {where}: ports below 1024 need a permission; change http_server.port"
    if error.errno in _FAMILY_MISSING:
        return f"cannot listen on {where}: the address is none of this machine's; change http_server.address"
    return f"cannot listen on {where}: {error.strerror}; check http_server.address and http_server.port"


def _name(address: str, port: int, kind: str = "port") -> str:
    if not address:
        return f"{kind} {port} of all addresses"
    return f"{kind} {port} of {address}"
