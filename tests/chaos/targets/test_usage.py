"""Tests of `chaos.targets.usage`: what is asked of servers."""

import ssl
from pathlib import Path

import pytest
import trio

from chaos.targets.usage import get
from tests.node.door.authority import Authority


async def answering(plain: trio.SocketStream, context: ssl.SSLContext) -> None:
    """One answer over TLS, to whoever gets that far."""
    async with trio.SSLStream(plain, context, server_side=True, https_compatible=True) as stream:
        try:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except trio.BrokenResourceError:
            return


async def test_a_coordinator_is_asked_over_tls(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is trusted, and shown a certificate, by the variables of the commands, and by nothing else."""
    authority = Authority(tmp_path, clients=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca_pem))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(authority.cert_pem, authority.key_pem)

    async def serve(plain: trio.SocketStream) -> None:
        await answering(plain, context)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    url = f"https://127.0.0.1:{listener.socket.getsockname()[1]}"
    monkeypatch.delenv("BROADCAST_COORDINATOR_CA_FILE", raising=False)
    assert await get(url, "/v1/nodes") is None
    monkeypatch.setenv("BROADCAST_COORDINATOR_CA_FILE", str(authority.ca_pem))
    assert await get(url, "/v1/nodes") is None
    monkeypatch.setenv("BROADCAST_COORDINATOR_CERT_FILE", str(authority.cert_pem))
    monkeypatch.setenv("BROADCAST_COORDINATOR_KEY_FILE", str(authority.key_pem))
    assert await get(url, "/v1/nodes") == b"{}"
    nursery.cancel_scope.cancel()
