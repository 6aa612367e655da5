"""Where the door listens, with which options, and what it says when it cannot."""

import socket

import pytest
from msgspec.structs import replace

from node.config.options import Duration, HttpServerOptions
from node.door.listeners import DoorError, open_listeners
from tests.node.door.clients import LOCAL


async def test_accepted_sockets_inherit_their_options() -> None:
    """TCP_NODELAY and TCP_USER_TIMEOUT are set once, on the listening socket."""
    (listener,) = await open_listeners(replace(LOCAL, peer_silent_max_s=Duration(7.5)))
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500


async def test_an_empty_address_is_every_address_on_one_port() -> None:
    """IPv4 always, IPv6 where the machine has it; port 0 is one free port for both."""
    listeners = await open_listeners(HttpServerOptions(port=0))
    try:
        names = [listener.getsockname() for listener in listeners]
        assert len({name[1] for name in names}) == 1
        assert "0.0.0.0" in {name[0] for name in names}
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            if family in {listener.family for listener in listeners}:
                socket.create_connection((address, names[0][1])).close()
    finally:
        for listener in listeners:
            listener.close()


async def test_a_taken_port_is_named() -> None:
    """The message says where, and which option to change; nothing stays open."""
    (first,) = await open_listeners(LOCAL)
    with first:
        port = first.getsockname()[1]
        with pytest.raises(DoorError) as caught:
            await open_listeners(replace(LOCAL, port=port))
        assert str(caught.value) == (
            f"cannot listen on port {port} of 127.0.0.1: another process has it; "
            "stop that one or change http_server.port"
        )


async def test_nodes_may_share_a_port() -> None:
    """With `reuse_port` on both, several processes listen on one port."""
    shared = replace(LOCAL, reuse_port=True)
    (first,) = await open_listeners(shared)
    (second,) = await open_listeners(replace(shared, port=first.getsockname()[1]))
    first.close()
    second.close()


@pytest.mark.parametrize("address", ["192.0.2.1", "no such host"])
async def test_a_foreign_address_is_named(address: str) -> None:
    """An address of another machine, or none at all, points to http_server.address."""
    with pytest.raises(DoorError, match=r"change http_server\.address") as caught:
        await open_listeners(replace(LOCAL, address=address))
    assert address in str(caught.value)


async def test_a_port_that_is_taken_on_one_address_is_chosen_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 0 chooses for the first address; where the second has it taken, another one is tried."""
    bind = socket.socket.bind
    refused: list[int] = []

    def unlucky(self: socket.socket, address: tuple[str, int]) -> None:
        if address[1] and not refused:
            refused.append(address[1])
            raise OSError(98, "Address already in use")
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", unlucky)
    listeners = await open_listeners(HttpServerOptions(port=0))
    for listener in listeners:
        listener.close()
    if len(listeners) > 1:
        assert refused


async def test_a_machine_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family the machine lacks is left out as long as another one works."""
    bind = socket.socket.bind

    def no_ipv6(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(99, "Cannot assign requested address")
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", no_ipv6)
    (listener,) = await open_listeners(HttpServerOptions(port=0))
    assert listener.family == socket.AF_INET
    listener.close()
