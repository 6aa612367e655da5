"""Real nats-servers for tests, started, stopped, killed and started again. Synchronous; no test lives here.

    with NatsServer() as server: ...                    # JetStream on, in a temporary directory
    with NatsServer(config='authorization { token: "t" }') as server: ...
    with NatsCluster(3) as cluster: cluster.servers[0].kill()

A server that is started again keeps its ports and its storage. Ports are taken from below the kernel's
range for outgoing connections: in that range a client that connects to a stopped server on the loopback
can be given the server's own port and talk to itself.
"""

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.patience import PATIENCE_S

BINARY = Path(sys.executable).parent / "nats-server"


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    while True:
        port = random.randint(15_000, 31_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class NatsServer:
    """One nats-server process; entering the context starts it, leaving stops it and removes its files.

    Args:
        config: text added to the server's configuration file (authorization, tls, limits, ...).
        jetstream: whether JetStream is on.
        name: the server's name; the port's number when empty.
        cluster: text of the `cluster` block, "" for a server alone.

    Attributes:
        url: nats://127.0.0.1:PORT, without credentials.
        port: where clients connect; monitor_port: the HTTP monitor.
        directory: holds the configuration, the log and JetStream's storage.
        process: the last process started; pid is its id.
    """

    def __init__(
        self, config: str = "", *, jetstream: bool = True, name: str = "", cluster: str = ""
    ) -> None:
        self.port = free_port()
        self.monitor_port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.name = name or f"s{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="nats-test-"))
        self.store_dir = self.directory / "store"
        self.process: subprocess.Popen[bytes] | None = None
        lines = [
            f'server_name: "{self.name}"',
            f'listen: "127.0.0.1:{self.port}"',
            f'http: "127.0.0.1:{self.monitor_port}"',
            'lame_duck_grace_period: "1s"',
            config,
        ]
        if jetstream:
            lines.append(f'jetstream {{ store_dir: "{self.store_dir}", max_mem: 256MB, max_file: 1GB }}')
        if cluster:
            lines.append(f"cluster {{ {cluster} }}")
        self.config_file = self.directory / "server.conf"
        self.config_file.write_text("\n".join(lines) + "\n")

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self.process is not None, "the server was never started"
        return self.process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start the process, on the same ports and storage as before, and wait until it is healthy."""
        assert self.process is None or self.process.poll() is not None, "the server runs already"
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "-c", self.config_file], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        if wait:
            self.wait_healthy()

    def wait_healthy(self) -> None:
        """Wait until clients can connect and JetStream, where it is on, has a leader."""
        deadline = time.monotonic() + PATIENCE_S
        assert self.process is not None, "the server was never started"
        while self._status("/healthz") != 200:
            assert time.monotonic() < deadline, f"nats-server is not healthy:\n{self.log()}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.02)
                raise AssertionError(f"nats-server exited:\n{self.log()}")

    def monitor(self, path: str) -> Any:
        """What the HTTP monitor answers: `/varz`, `/connz`, `/routez`, `/jsz`, ..."""
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor_port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def _status(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor_port, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                return connection.getresponse().status
            except OSError:
                return 0

    def log(self) -> str:
        """Everything the server logged, all starts together."""
        return (self.directory / "server.log").read_text()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGHUP reloads, SIGUSR2 is lame duck mode."""
        assert self.process is not None, "the server was never started"
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Stop it where it stands, sockets open, and return when no thread of it runs any more."""
        self.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "nats-server exited instead"

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop in an orderly way and wait for the end; nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill as `kill -9` does and wait for the end; nothing if it does not run."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        if number == signal.SIGTERM:
            self.process.send_signal(signal.SIGCONT)  # a frozen process would not see its SIGTERM
        try:
            self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class NatsCluster:
    """Servers joined by routes, JetStream on each: R3 streams are possible with three.

    Attributes:
        servers: the NatsServer objects; stop, kill and start them one by one.
        url: all their addresses, comma-separated, as `broker.nats.url` takes them.
    """

    def __init__(self, size: int = 3, config: str = "") -> None:
        routes = [free_port() for _ in range(size)]
        listed = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in routes)
        self.servers = [
            NatsServer(
                config,
                name=f"s{number}",
                cluster=f'name: test, listen: "127.0.0.1:{port}", routes: [{listed}]',
            )
            for number, port in enumerate(routes, start=1)
        ]
        self.url = ",".join(server.url for server in self.servers)

    def wait_healthy(self) -> None:
        """Wait until every server that runs is healthy: routes made, a JetStream meta leader known."""
        for server in self.servers:
            if server.process is not None and server.process.poll() is None:
                server.wait_healthy()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for server in self.servers:
                stack.callback(server.__exit__, None, None, None)
                server.start(wait=False)
            self.wait_healthy()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.__exit__(kind, value, trace)
