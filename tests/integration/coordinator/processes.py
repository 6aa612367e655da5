"""Coordinators as processes, beside a cluster of nodes; no test lives here."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.cluster import ROOT
from tests.integration.programs import Program, broadcast
from tests.patience import PATIENCE_S

TOKEN = "test-coordinator-token"


class CoordinatorProcess:
    """One `broadcast coordinator`; leaving the context kills it.

    Args:
        directory: for its log.
        name: of the coordinator.
        nats_url: of the servers.
        *arguments: more of the command line.
        http_port: of one that will not be ready, and is not waited for; 0: a free one is taken, and told when
            it is.
    """

    def __init__(
        self, directory: Path, name: str, nats_url: str, *arguments: str, http_port: int = 0
    ) -> None:
        self.name = name
        self.log_file = directory / f"{name}.log"
        ready, told = os.pipe()
        command = [sys.executable, "-P", "-m", "deploy.cli", "coordinator", "--name", name]
        command += ["--nats", nats_url, "--http-address", "127.0.0.1", "--grpc-port", "0"]
        command += ["--http-port", str(http_port), "--set", f"coordinator.token={TOKEN}", *arguments]
        command += ["--ready-fd", str(told)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, pass_fds=[told]
            )
        os.close(told)
        if http_port:
            os.close(ready)
            self.http, self.grpc = f"http://127.0.0.1:{http_port}", ""
            return
        with os.fdopen(ready) as pipe:
            line = pipe.readline()
        if not line:
            self.process.wait(timeout=PATIENCE_S)
        assert line, f"coordinator {name} did not start:\n{self.log()}"
        said = json.loads(line)
        self.http, self.grpc = str(said["http"]), str(said["grpc"])

    @property
    def port(self) -> int:
        return int(self.http.rsplit(":", 1)[1])

    def log(self) -> str:
        return self.log_file.read_text()

    def get(self, path: str, token: str = TOKEN) -> tuple[int, Any]:
        """The status and the JSON, if it is some, at a path."""
        return self._ask(
            urllib.request.Request(self.http + path, headers={"Authorization": f"Bearer {token}"})
        )

    def post(self, path: str, request: dict[str, Any], token: str = TOKEN) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self._ask(urllib.request.Request(self.http + path, json.dumps(request).encode(), headers))

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What it says of the nodes, by name."""
        status, answer = self.get("/v1/nodes")
        assert status == 200, answer
        return {node["name"]: node for node in answer["nodes"]}

    def serving(self) -> list[str]:
        """The names of the nodes that take new sessions: one that has just come may not be ready yet."""
        return [name for name, node in self.nodes().items() if node["state"] == "SERVING"]

    def leads(self) -> bool:
        status, answer = self.get("/v1/nodes")
        return status == 200 and answer.get("leader", {}).get("name") == self.name

    def command(self, *arguments: str) -> Program:
        """A command of the command line that speaks to this coordinator."""
        return broadcast(*arguments, "--coordinator", self.http, "--token", TOKEN)

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                status, body = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
