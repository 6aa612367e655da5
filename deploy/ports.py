"""Ports of a cluster on this machine: the ones that were asked for, seen to be free, and any free ones."""

import random
import socket
from collections.abc import Iterator, Sequence

from deploy.errors import UserError

HOST = "127.0.0.1"
# Below the range from which the kernel takes ports for outgoing connections. In that range a client that
# reconnects to a server that is gone can be given the server's own port, and is then connected to itself.
_CHOICE = range(15_000, 31_000)


def see_that_free(port: int, name: str, option: str) -> None:
    """Do nothing if somebody can listen on this port.

    Args:
        port: of the loopback address.
        name: who wants it.
        option: where another one is chosen.

    Raises:
        UserError: nobody can.
    """
    try:
        _try_port(port)
    except OSError as error:
        reason = f"port {port} on {HOST} cannot be used for {name}: {error.strerror}"
        raise UserError(f"{reason}; free it or choose another with {option}") from error
    except OverflowError as error:
        raise UserError(f"{name} would need port {port}; choose a lower {option}") from error


def free_ports(taken: Sequence[int] = ()) -> Iterator[int]:
    """Free ports without end, each once.

    Args:
        taken: not these.
    """
    for port in random.sample(_CHOICE, len(_CHOICE)):
        if port in taken:
            continue
        try:
            _try_port(port)
        except OSError:
            continue
        yield port
    raise UserError(f"no port from {_CHOICE.start} to {_CHOICE.stop} is free")


def _try_port(port: int) -> None:
    with socket.socket() as probe:
        # As servers do, or ports of connections that just ended would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
