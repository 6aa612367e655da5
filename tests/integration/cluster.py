"""A real cluster for tests: a nats-server and node processes, as `broadcast node` starts them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.nats_server import NatsServer
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
API_KEY = "test-api-key-test-api-key-test-api-key"
HMAC_KEY = "test-hmac-key-test-hmac-key-test-hmac-key"

# Everything switched on that the SDKs' own test servers have.
OPEN_NAMESPACE: dict[str, Any] = {
    "history_size": 100,
    "history_ttl": "300s",
    "force_recovery": True,
    "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True,
    "allow_publish_for_client": True,
    "allow_publish_for_anonymous": True,
    "allow_history_for_client": True,
    "allow_history_for_anonymous": True,
}
# The transports that are off unless they are asked for.
SWITCHED_ON = ("sse", "http_stream", "uni_http_stream", "uni_websocket")


class NodeProcess:
    """One `broadcast node` process; its addresses are known once it is ready.

    Args:
        name: of the node.
        config_file: what it reads.
        port: its HTTP port, 0 for a free one.
        log_file: where its output goes.
        program: what Python runs, the arguments of `broadcast node` come after it.
        serve: "http" or "grpc".
        wait: whether to wait until it is ready; otherwise `wait_ready` is still to be called.
    """

    def __init__(
        self,
        name: str,
        config_file: Path,
        log_file: Path,
        port: int = 0,
        program: Sequence[str] = ("-m", "deploy.cli"),
        serve: str = "http",
        *,
        wait: bool = True,
    ) -> None:
        self.name = name
        self.log_file = log_file
        ready, told = os.pipe()
        self._ready = os.fdopen(ready)
        environment = dict(os.environ, BROADCAST_NODE_NAME=name, BROADCAST_HTTP_SERVER_PORT=str(port))
        with log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *program,
                    "node",
                    "--serve",
                    serve,
                    "--config",
                    str(config_file),
                    "--ready-fd",
                    str(told),
                ],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                pass_fds=[told],
            )
        os.close(told)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it has said where it listens."""
        with self._ready:
            line = self._ready.readline()
        if not line:
            self.process.wait(timeout=PATIENCE_S)
        assert line, f"node {self.name} did not start:\n{self.log()}"
        said = json.loads(line)
        self.http: str = said["http"]
        self.grpc: str = said["grpc"] or ""

    @property
    def port(self) -> int:
        """Of its HTTP address."""
        return int(self.http.rsplit(":", 1)[1].rstrip("/"))

    @property
    def ws(self) -> str:
        """Its address for WebSockets."""
        return self.http.replace("http://", "ws://", 1)

    def log(self) -> str:
        """What it wrote."""
        return self.log_file.read_text()

    def stop(self) -> int:
        """End it in an orderly way; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._ready.close()
        self.process.kill()
        self.process.wait(timeout=PATIENCE_S)


class Cluster:
    """A nats-server and nodes; leaving the context ends them all.

    Args:
        directory: for configuration and logs.
        nodes: how many.
        nats_url: of a server that runs already; "" for one of the cluster's own.
        program: see NodeProcess.
        **options: merged over the defaults of the nodes' configuration, section by section.
    """

    def __init__(
        self,
        directory: Path,
        nodes: int = 2,
        nats_url: str = "",
        program: Sequence[str] = ("-m", "deploy.cli"),
        **options: Any,
    ) -> None:
        self._directory = directory
        self._config_file = directory / "node.json"
        self._count = nodes
        self.nats = None if nats_url else NatsServer()
        self._nats_url = nats_url
        self._program = program
        self._options = options
        self.nodes: list[NodeProcess] = []

    def _config(self) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "http_server": {"address": "127.0.0.1"},
            "http_api": {"key": API_KEY},
            "client": {"token": {"hmac_secret_key": HMAC_KEY}, "allow_anonymous_connect_without_token": True},
            "channel": {
                "without_namespace": OPEN_NAMESPACE,
                "namespaces": [
                    {**OPEN_NAMESPACE, "name": "smallhistory", "history_size": 2},
                    {
                        "name": "plain",
                        "allow_subscribe_for_client": True,
                        "allow_subscribe_for_anonymous": True,
                        "allow_publish_for_client": True,
                        "allow_publish_for_anonymous": True,
                    },
                    {"name": "closed"},
                ],
            },
            "broker": {"nats": {"url": self._nats_url or (self.nats.url if self.nats else "")}},
            # Nobody balances clients over these nodes: none that leaves need wait for that to end.
            "drain": {"arrivals_quiet_s": 0, "arrivals_wait_max_s": 0},
            "log": {"level": "info", "format": "json"},
            **{section: {"enabled": True} for section in SWITCHED_ON},
        }
        for section, values in self._options.items():
            defaults[section] = {**defaults.get(section, {}), **values}
        return defaults

    def start_node(self, name: str, port: int = 0, serve: str = "http", *, wait: bool = True) -> NodeProcess:
        """Start one more node, or one again, with the options of now; `wait` as for NodeProcess."""
        log_file = self._directory / f"{name}.log"
        config = json.dumps(self._config())
        # What is the same is left alone: nodes that are starting read it.
        if not self._config_file.exists() or self._config_file.read_text() != config:
            self._config_file.write_text(config)
        return NodeProcess(name, self._config_file, log_file, port, self._program, serve, wait=wait)

    def start_nodes(self, *names: str, serve: str = "http") -> None:
        """Start nodes that are the cluster's, all at once, and wait until all are ready."""
        started = [self.start_node(name, serve=serve, wait=False) for name in names]
        self.nodes += started
        for node in started:
            node.wait_ready()

    def __enter__(self) -> Self:
        if self.nats is not None:
            self.nats.start()
        try:
            self.start_nodes(*(f"node-{number}" for number in range(1, self._count + 1)))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()
        if self.nats is not None:
            self.nats.__exit__(kind, value, trace)
