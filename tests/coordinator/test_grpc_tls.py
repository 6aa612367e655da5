"""Tests of `coordinator.grpc_tls`: a real server, grpc's own client, and handshakes by OpenSSL."""

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio
import trustme

from coordinator.access import TokenCheck
from coordinator.grpc_api import GrpcApi
from coordinator.grpc_tls import GrpcTls
from protos.coordinator_pb2 import ListNodesRequest
from protos.coordinator_pb2_grpc import CoordinatorStub
from tests.coordinator.asgi_client import TOKEN
from tests.coordinator.coordinators import FakeCoordinator
from tests.fakes.catalog import CatalogStore
from tests.node.door.authority import Authority
from tests.patience import PATIENCE_S


class Served:
    """A coordinator's gRPC port under TLS."""

    def __init__(self, authority: Authority, tls: GrpcTls, port: int) -> None:
        self.authority = authority
        self.tls = tls
        self.port = port

    async def status(self, credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode:
        """How a call ends."""

        def call() -> grpc.StatusCode:
            address = f"127.0.0.1:{self.port}"
            channel = (
                grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
            )
            metadata = (("authorization", f"Bearer {TOKEN}"),)
            with channel:
                try:
                    CoordinatorStub(channel).ListNodes(
                        ListNodesRequest(), metadata=metadata, timeout=PATIENCE_S
                    )
                except grpc.RpcError as error:
                    code: grpc.StatusCode = error.code()
                    return code
            return grpc.StatusCode.OK

        return await trio.to_thread.run_sync(call)

    async def certificate(self, ciphers: str = "DEFAULT", **versions: Any) -> bytes:
        """What is served now."""

        def shake_hands() -> bytes:
            context = self.authority.client_context("h2")
            context.set_ciphers(ciphers)
            for name, value in versions.items():
                setattr(context, name, value)
            with (
                socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as secure,
            ):
                return secure.getpeercert(binary_form=True) or b""

        return await trio.to_thread.run_sync(shake_hands)


@pytest.fixture(params=[False])
async def served(
    request: pytest.FixtureRequest, nursery: trio.Nursery, tmp_path: Path
) -> AsyncIterator[Served]:
    """A coordinator without nodes; the parameter says whether clients need a certificate."""
    authority = Authority(tmp_path, clients=request.param)
    options = authority.options
    tls = GrpcTls(options.cert_pem, options.key_pem, options.client_ca_pem)
    tls.load()
    coordinator = FakeCoordinator(CatalogStore())
    nursery.start_soon(coordinator.run)
    await coordinator.ready(0)
    api = GrpcApi(coordinator.service, TokenCheck(TOKEN, insecure=False), "127.0.0.1", 0, tls)
    yield Served(authority, tls, await nursery.start(api.run))
    nursery.cancel_scope.cancel()


def trusting(authority: Authority, issued: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    """What a client that trusts the authority has, and perhaps a certificate."""
    key = issued.private_key_pem.bytes() if issued else None
    chain = issued.cert_chain_pems[0].bytes() if issued else None
    return grpc.ssl_channel_credentials(authority.ca_pem.read_bytes(), key, chain)


async def test_only_who_speaks_tls_and_trusts_is_served(served: Served) -> None:
    """Plain text and another authority lead nowhere."""
    strange = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    assert await served.status(trusting(served.authority)) == grpc.StatusCode.OK
    assert await served.status(strange) == grpc.StatusCode.UNAVAILABLE
    assert await served.status(None) == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("served", [True], indirect=True)
async def test_where_clients_need_a_certificate_it_is_checked(served: Served) -> None:
    """None, or a stranger's, is refused whatever token comes with it."""
    authority = served.authority
    assert await served.status(trusting(authority, authority.sign("operator.test"))) == grpc.StatusCode.OK
    assert await served.status(trusting(authority)) == grpc.StatusCode.UNAVAILABLE
    strange = trustme.CA().issue_cert("operator.test")
    assert await served.status(trusting(authority, strange)) == grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_served_to_those_who_come(served: Served) -> None:
    """The port stays open, and files that cannot be read change nothing."""
    before = await served.certificate()
    served.authority.issue()
    assert await served.certificate() == before
    served.tls.load()
    renewed = await served.certificate()
    assert renewed != before
    served.authority.key_pem.unlink()
    with pytest.raises(FileNotFoundError):
        served.tls.load()
    assert await served.certificate() == renewed


async def test_grpc_is_given_a_certificate_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is given replaces what it has: nothing, unless files were read since it asked last."""
    options = Authority(tmp_path).options
    tls = GrpcTls(options.cert_pem, options.key_pem, options.client_ca_pem)
    fetchers: list[Callable[[], object]] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda _, fetch, **__: fetchers.append(fetch))
    with pytest.raises(AssertionError, match="load comes first"):
        tls.credentials()
    tls.load()
    tls.credentials()
    (fetch,) = fetchers
    assert fetch() is None
    tls.load()
    tls.load()
    assert fetch() is not None
    assert fetch() is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_old_versions_of_tls_are_refused(served: Served) -> None:
    """TLS 1.2 is the least."""
    await served.certificate("ALL:@SECLEVEL=0", maximum_version=ssl.TLSVersion.TLSv1_2)
    old = ssl.TLSVersion.TLSv1_1
    # grpc closes without an alert.
    with pytest.raises(ssl.SSLEOFError):
        await served.certificate("ALL:@SECLEVEL=0", minimum_version=old, maximum_version=old)
