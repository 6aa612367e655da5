"""Real Consul agents for tests, started, stopped, killed and started again. Synchronous; no test lives here.

    with ConsulServer() as server: ...                  # one agent that is the whole cluster, in memory
    with ConsulServer(tls=authority, acl=True) as server: ...

An agent that is started again keeps its ports and nothing else. `.ci/consul` builds the program.
"""

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import trustme

from tests.nats_server import free_port
from tests.patience import PATIENCE_S

_ROOT = Path(__file__).resolve().parents[1]
TOKEN = "6f1e9d0c-2b3a-4c5d-8e7f-0a1b2c3d4e5f"


def binary() -> Path:
    """Where the program is; the test that needs it is skipped if it is missing."""
    told = subprocess.run([_ROOT / ".ci" / "consul", "--where"], capture_output=True, text=True, check=True)
    path = Path(told.stdout.strip())
    if not path.exists():
        pytest.skip("there is no Consul here; `.ci/consul` builds it")
    return path


class ConsulServer:
    """One Consul agent in development mode; entering the context starts it, leaving stops it.

    Args:
        tls: the authority that signs its certificate; None: plain HTTP.
        acl: whether everything but a request with `TOKEN`, or one made by `token_for`, is refused.
        client_certificates: whether it speaks only to who has a certificate of the authority, too.

    Attributes:
        url: http(s)://127.0.0.1:PORT.
        directory: holds the configuration, the log and, under TLS, `ca.pem`, and a certificate for clients in
            `client.pem` and `client-key.pem`.
    """

    def __init__(
        self, *, tls: trustme.CA | None = None, acl: bool = False, client_certificates: bool = False
    ) -> None:
        self._binary = binary()
        ports: set[int] = set()
        while len(ports) < 4:
            ports.add(free_port())
        self.port, server, serf_lan, serf_wan = ports
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="consul-test-"))
        self.process: subprocess.Popen[bytes] | None = None
        self._acl = acl
        self._context: ssl.SSLContext | None = None
        unused = {"http": -1, "https": -1, "grpc": -1, "dns": -1}
        config: dict[str, Any] = {
            "ports": {
                **unused,
                "https" if tls else "http": self.port,
                "server": server,
                "serf_lan": serf_lan,
                "serf_wan": serf_wan,
            },
            "bind_addr": "127.0.0.1",
            # Elsewhere every machine has an agent of its own.
            "limits": {"http_max_conns_per_client": 1000},
            "disable_update_check": True,
            "node_name": f"agent-{self.port}",
        }
        if acl:
            config["acl"] = {
                "enabled": True,
                "default_policy": "deny",
                "tokens": {"initial_management": TOKEN, "agent": TOKEN},
            }
        if tls:
            certificate = tls.issue_cert("127.0.0.1", "localhost")
            certificate.private_key_pem.write_to_path(self.directory / "key.pem")
            certificate.cert_chain_pems[0].write_to_path(self.directory / "cert.pem")
            tls.cert_pem.write_to_path(self.directory / "ca.pem")
            config["key_file"] = str(self.directory / "key.pem")
            config["cert_file"] = str(self.directory / "cert.pem")
            config["ca_file"] = str(self.directory / "ca.pem")
            config["verify_incoming_https"] = client_certificates
            ours = tls.issue_cert("client.test")
            ours.private_key_pem.write_to_path(self.directory / "client-key.pem")
            ours.cert_chain_pems[0].write_to_path(self.directory / "client.pem")
            self._context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
            self._context.load_cert_chain(self.directory / "client.pem", self.directory / "client-key.pem")
        (self.directory / "agent.json").write_text(json.dumps(config))

    def start(self) -> None:
        """Start the process, on the same ports, and wait until it leads and knows itself."""
        assert self.process is None or self.process.poll() is not None, "the agent runs already"
        with (self.directory / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._binary, "agent", "-dev", "-config-file", self.directory / "agent.json"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={key: value for key, value in os.environ.items() if not key.startswith("CONSUL_")},
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._ready():
            assert time.monotonic() < deadline, f"consul is not ready:\n{self.log()}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.05)
                raise AssertionError(f"consul exited:\n{self.log()}")

    def _ready(self) -> bool:
        try:
            return bool(self.get("/v1/health/node/" + f"agent-{self.port}"))
        except (OSError, urllib.error.HTTPError):
            return False

    def token_for(self, name: str, rules: str) -> str:
        """Make a policy of these rules, and a token that has it and nothing else; returns the token."""
        self.get("/v1/acl/policy", "PUT", {"Name": name, "Rules": rules})
        token = self.get("/v1/acl/token", "PUT", {"Policies": [{"Name": name}]})
        return str(token["SecretID"])

    def get(self, path: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        """What the HTTP API answers."""
        headers = {"X-Consul-Token": TOKEN} if self._acl else {}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )
        with opener.open(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read() or b"null")

    def empty(self) -> None:
        """Take away every service but Consul's own, and every key."""
        for service_id in self.get("/v1/agent/services"):
            self.get(f"/v1/agent/service/deregister/{service_id}", "PUT")
        self.get("/v1/kv/?recurse", "DELETE")

    def log(self) -> str:
        """Everything the agent logged, all starts together."""
        return (self.directory / "agent.log").read_text()

    def freeze(self) -> None:
        """Stop it where it stands, sockets open."""
        assert self.process is not None, "the agent was never started"
        self.process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "consul exited instead"

    def thaw(self) -> None:
        """Let a frozen agent go on."""
        assert self.process is not None, "the agent was never started"
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill as `kill -9` does and wait for the end; nothing if it does not run."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
