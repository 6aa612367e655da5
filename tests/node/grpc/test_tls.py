"""The gRPC port's certificate: renewed while it is open, and what is wrong with one is said."""

import ssl
from pathlib import Path

import pytest
import trio

from node.config.grpc import GrpcServerOptions, GrpcTlsOptions
from node.grpc.errors import GrpcError
from node.grpc.loop import run
from node.grpc.server import GrpcServer
from node.grpc.tls import GrpcTls
from tests.node.door.authority import Authority
from tests.patience import PATIENCE_S


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom both ends trust."""
    return Authority(tmp_path)


def options(authority: Authority, **changes: str) -> GrpcTlsOptions:
    files = {"cert_pem": str(authority.cert_pem), "key_pem": str(authority.key_pem)}
    return GrpcTlsOptions(enabled=True, **files | changes)


async def certificate(port: int, context: ssl.SSLContext) -> bytes:
    """What the port shows to one who comes now."""
    stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=context)
    await stream.do_handshake()
    shown: bytes = stream.getpeercert(binary_form=True)
    await trio.aclose_forcefully(stream)
    return shown


async def until(port: int, *, is_open: bool) -> None:
    while True:
        try:
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
        except OSError:
            if not is_open:
                return
        else:
            if is_open:
                return
        await trio.sleep(0.01)


def test_a_renewed_certificate_is_served(authority: Authority) -> None:
    """To those who come from then on; also by a port that was opened again, and is served further ones."""

    async def main() -> None:
        server = GrpcServer(GrpcServerOptions("127.0.0.1", 0, options(authority)), {}, 1000, str)
        context = authority.client_context("h2")
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            assert server.tls is not None
            seen = {await certificate(server.port, context)}
            for opened_again in (False, True):
                if opened_again:
                    server.leave()
                    await until(server.port, is_open=False)
                    server.leave(leaving=False)
                    await until(server.port, is_open=True)
                for _ in range(2):
                    authority.issue()
                    server.tls.load()
                    shown = await certificate(server.port, context)
                    assert shown not in seen
                    assert shown == await certificate(server.port, context)
                    seen.add(shown)
            server.stop()

    async def in_time() -> None:
        with trio.fail_after(PATIENCE_S):
            await main()

    run(in_time)


async def test_files_are_looked_at(authority: Authority, autojump_clock: trio.testing.MockClock) -> None:
    """New ones are taken; broken ones are logged and counted once, and change nothing."""
    tls = GrpcTls(options(authority))
    tls.load()
    first = tls._serve
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tls.watch)
        await trio.sleep(10)
        assert tls._serve is first
        authority.key_pem.write_text("half a key")
        await trio.sleep(10)
        authority.key_pem.unlink()
        await trio.sleep(10)
        assert (tls._serve, tls.unusable) == (first, 2)
        authority.issue()
        await trio.sleep(10)
        assert tls._serve is not first
        nursery.cancel_scope.cancel()


def test_unusable_files_are_named(authority: Authority, tmp_path: Path) -> None:
    """The message says which option to look at, and not to free a port that nobody has."""

    async def serve(tls: GrpcTlsOptions) -> None:
        await GrpcServer(GrpcServerOptions("127.0.0.1", 0, tls), {}, 1000, str).serve()

    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    garbage = tmp_path / "garbage"
    garbage.write_text("garbage")
    pair = r"grpc_server\.tls\.cert_pem and key_pem: "
    for changes, match in (
        ({"cert_pem": str(tmp_path / "none")}, f"{pair}No such file"),
        ({"cert_pem": str(garbage)}, pair),
        ({"key_pem": str(other.key_pem)}, f"{pair}KEY_VALUES_MISMATCH"),
        ({"client_ca_pem": str(garbage)}, r"grpc_server\.tls\.client_ca_pem: "),
    ):
        with pytest.raises(GrpcError, match=match):
            run(serve, options(authority, **changes))
