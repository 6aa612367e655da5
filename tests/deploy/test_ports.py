"""Tests of `deploy.ports`."""

import socket
from itertools import islice

import pytest

from deploy.errors import UserError
from deploy.ports import HOST, free_ports, see_that_free


def test_free_ports_can_be_listened_on_and_are_not_those_of_clients() -> None:
    """Each is free, given once, and outside the range the kernel uses for outgoing connections."""
    ports = list(islice(free_ports(), 5))
    assert len(set(ports)) == 5
    for port in ports:
        assert 15_000 <= port < 31_000
        with socket.socket() as listener:
            listener.bind((HOST, port))
    assert not set(islice(free_ports(taken=range(15_000, 30_990)), 5)) & set(range(15_000, 30_990))


def test_a_taken_port_is_explained() -> None:
    """The message names the port, who wanted it and the option; a free one passes."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} .* node-1.*--http-port"):
            see_that_free(port, "node-1", "--http-port")
    see_that_free(port, "node-1", "--http-port")
    with pytest.raises(UserError, match="node-9 would need port 65536"):
        see_that_free(65536, "node-9", "--http-port")
