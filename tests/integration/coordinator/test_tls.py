"""A coordinator under TLS, with clients of another make and with our own commands."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trio
import trustme

from deploy.client_tls import ClientTls
from deploy.coordinator_api import CoordinatorApi
from deploy.errors import UserError
from protos.catalog_pb2 import NodeReport
from protos.coordinator_pb2 import ListNodesRequest
from protos.coordinator_pb2_grpc import CoordinatorStub
from tests.integration.cluster import Cluster
from tests.integration.coordinator.load import in_time
from tests.integration.coordinator.processes import TOKEN, CoordinatorProcess
from tests.node.door.authority import Authority
from tests.patience import PATIENCE_S

CURL = shutil.which("curl") or ""
AUTHORIZED = (("authorization", f"Bearer {TOKEN}"),)
NEEDS_CURL = pytest.mark.skipif(not CURL, reason="no `curl` on the PATH")
# Of curl: the server's certificate is not trusted; the handshake, or what was sent or came after it, failed.
UNTRUSTED, FAILED = 60, (35, 55, 56)


class Secure:
    """A cluster of one node, and a coordinator that wants certificates on both ports.

    Attributes:
        operator: the files of somebody who is let in.
        strangers_ca: an authority that has nothing to do with any of this.
    """

    def __init__(self, directory: Path, authority: Authority, process: CoordinatorProcess) -> None:
        self.authority = authority
        self.process = process
        issued = authority.sign("operator.test")
        self.operator = ClientTls(
            str(authority.ca_pem), str(directory / "operator.pem"), str(directory / "operator-key.pem")
        )
        issued.cert_chain_pems[0].write_to_path(self.operator.cert_file)
        issued.private_key_pem.write_to_path(self.operator.key_file)
        self.strangers_ca = str(directory / "stranger.pem")
        trustme.CA().cert_pem.write_to_path(self.strangers_ca)

    def curl(self, url: str, *arguments: str, ca: str = "", certified: bool = True) -> tuple[int, str]:
        """How curl ends, and what it was answered."""
        command = [CURL, "--silent", "--noproxy", "*", "--cacert", ca or self.operator.ca_file]
        command += ["-H", f"Authorization: Bearer {TOKEN}"]
        if certified:
            command += ["--cert", self.operator.cert_file, "--key", self.operator.key_file]
        done = subprocess.run(
            [*command, *arguments, url], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        return done.returncode, done.stdout

    @contextmanager
    def over_grpc(self, *, certified: bool = True) -> Iterator[CoordinatorStub]:
        """A client of the gRPC port."""
        files = (self.operator.key_file, self.operator.cert_file) if certified else ()
        own = [Path(name).read_bytes() for name in files]
        credentials = grpc.ssl_channel_credentials(Path(self.operator.ca_file).read_bytes(), *own)
        with grpc.secure_channel(self.process.grpc, credentials) as channel:
            yield CoordinatorStub(channel)

    def until_serving(self) -> None:
        """Watch the nodes until there is one that serves."""
        with self.over_grpc() as stub:
            for told in stub.WatchNodes(ListNodesRequest(), metadata=AUTHORIZED, timeout=PATIENCE_S):
                if [node.state for node in told.nodes] == [NodeReport.SERVING]:
                    return

    def certificates(self) -> set[bytes]:
        """Those that both ports serve."""
        found = set()
        context = self.authority.client_context("h2", certified=True)
        for address in (self.process.http.removeprefix("https://"), self.process.grpc):
            port = int(address.rpartition(":")[2])
            with (
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as secure,
            ):
                found.add(secure.getpeercert(binary_form=True) or b"")
        return found


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Its node waits for nobody when it is drained."""
    directory = tmp_path_factory.mktemp("secure")
    authority = Authority(directory, clients=True)
    told = ["--set", "coordinator.tls.enabled=true"]
    for name in ("cert_pem", "key_pem", "client_ca_pem"):
        told += ["--set", f"coordinator.tls.{name}={getattr(authority.options, name)}"]
    at_once = {"arrivals_quiet_s": 0, "arrivals_wait_max_s": 0}
    with Cluster(directory, nodes=1, drain=at_once) as cluster:
        assert cluster.nats is not None
        with CoordinatorProcess(directory, "secure", cluster.nats.url, *told) as process:
            secure = Secure(directory, authority, process)
            # A node that has just come may not be told of, or not as serving, at once.
            secure.until_serving()
            yield secure


@NEEDS_CURL
def test_http_is_served_under_tls_alone(secure: Secure) -> None:
    """API, discovery and page to who trusts and is known, in either version; plain text is told why not."""
    https = secure.process.http
    assert https.startswith("https://")
    for version in ("--http1.1", "--http2"):
        assert "node-1" in secure.curl(f"{https}/v1/nodes", version)[1]
        assert "<title>" in secure.curl(f"{https}/", version)[1]
        assert "alternatives" in secure.curl(f"{https}/discover?transport=websocket", version)[1]
    assert secure.curl(f"{https}/livez", ca=secure.strangers_ca)[0] == UNTRUSTED
    assert secure.curl(f"{https}/livez", certified=False)[0] in FAILED
    assert "this port speaks TLS" in secure.curl(f"{https.replace('https', 'http')}/livez")[1]


def test_grpc_is_served_under_tls_alone(secure: Secure) -> None:
    """The other port has the same certificate, and wants one of clients too."""
    with secure.over_grpc() as stub:
        answer = stub.ListNodes(ListNodesRequest(), metadata=AUTHORIZED, timeout=PATIENCE_S)
        assert [node.name for node in answer.nodes] == ["node-1"]
    with secure.over_grpc(certified=False) as stub, pytest.raises(grpc.RpcError) as refused:
        stub.ListNodes(ListNodesRequest(), metadata=AUTHORIZED, timeout=PATIENCE_S)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_commands_say_what_tls_lacks(secure: Secure) -> None:
    """Plain text, an unknown authority, no certificate: one sentence each."""
    https, operator = secure.process.http, secure.operator
    for url, tls, said in (
        (https.replace("https", "http"), None, "speaks TLS; write https://"),
        (https, None, "is not trusted"),
        (https, ClientTls(ca_file=secure.strangers_ca), "is not trusted"),
        (https, ClientTls(ca_file=operator.ca_file), "wants a client's certificate"),
    ):
        with pytest.raises(UserError) as refused:
            CoordinatorApi(url, TOKEN, tls).get("/v1/nodes")
        assert said in str(refused.value)


async def test_a_drain_outlives_a_renewal(secure: Secure) -> None:
    """It is followed over TLS to its end, and who comes later is served the new certificate on both ports."""
    before = secure.certificates()
    assert len(before) == 1
    secure.authority.issue()
    files = secure.operator
    arguments = ["--ca-file", files.ca_file, "--cert-file", files.cert_file, "--key-file", files.key_file]
    with secure.process.command("drain", "node-1", "--force", "--json", *arguments) as drain:
        assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
    assert json.loads(drain.out[-1])["state"] == "DONE"
    await in_time(lambda: len(secure.certificates()) == 1 and secure.certificates() != before)
