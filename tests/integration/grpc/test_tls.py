"""TLS and client certificates: who has none is not let in, and whose name is in one is that user."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import jwt
import pytest
import trustme

from tests.integration.cluster import HMAC_KEY, Cluster, NodeProcess
from tests.integration.grpc.clients import Caller
from tests.integration.grpc.conftest import OPTIONS


class Certificates:
    """An authority, and what it signed."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self.root = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.root)
        server = self._authority.issue_cert("localhost", "127.0.0.1")
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        self.cert.write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
        server.private_key_pem.write_to_path(self.key)

    def client(self, name: str, signed_by: trustme.CA | None = None) -> grpc.ChannelCredentials:
        """What a client of this name has."""
        issued = (signed_by or self._authority).issue_cert(f"{name}.example", common_name=name)
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        return grpc.ssl_channel_credentials(self.root.read_bytes(), issued.private_key_pem.bytes(), chain)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """For one node and its clients."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[NodeProcess]:
    """A node that wants certificates, and lets no stranger in without a token."""
    tls = {
        "enabled": True,
        "cert_pem": str(certificates.cert),
        "key_pem": str(certificates.key),
        "client_ca_pem": str(certificates.root),
    }
    options = {
        **OPTIONS,
        "client": {"allow_anonymous_connect_without_token": False},
        "grpc_server": {**OPTIONS["grpc_server"], "tls": tls},
    }
    with Cluster(tmp_path_factory.mktemp("guarded"), nodes=0, **options) as cluster:
        cluster.nodes.append(cluster.start_node("guarded", serve="grpc"))
        yield cluster.nodes[0]


def publisher_of(caller: Caller, channel: str) -> str:
    stream = caller.subscribe(channel)
    stream.next("subscribed")
    caller.publish(channel, b"1")
    return str(stream.next("publication").publisher.user)


def test_a_certificate_says_who_it_is(guarded: NodeProcess, certificates: Certificates, channel: str) -> None:
    """Its common name is the user that channels' rules see."""
    with Caller(guarded.grpc, credentials=certificates.client("turbine-7")) as caller:
        assert publisher_of(caller, channel) == "turbine-7"


def test_a_token_goes_before_the_certificate(
    guarded: NodeProcess, certificates: Certificates, channel: str
) -> None:
    """A gateway with a certificate of its own speaks for the users whose tokens it hands on."""
    token = jwt.encode({"sub": "ann"}, HMAC_KEY, "HS256")
    with Caller(guarded.grpc, token, certificates.client("gateway")) as caller:
        assert publisher_of(caller, channel) == "ann"


@pytest.mark.parametrize("kind", ["none", "of another authority", "plain text"])
def test_strangers_do_not_get_in(guarded: NodeProcess, certificates: Certificates, kind: str) -> None:
    """No certificate, another authority's, or no TLS at all: no call gets through, and the node goes on."""
    credentials = {
        "none": grpc.ssl_channel_credentials(certificates.root.read_bytes()),
        "of another authority": certificates.client("stranger", trustme.CA()),
        "plain text": None,
    }[kind]
    with Caller(guarded.grpc, credentials=credentials) as stranger:
        assert stranger.subscribe("x").end().code() is grpc.StatusCode.UNAVAILABLE
    with Caller(guarded.grpc, credentials=certificates.client("friend")) as friend:
        friend.publish("x", b"1")
