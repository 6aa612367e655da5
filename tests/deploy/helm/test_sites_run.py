"""Two clusters of a super-cluster and a leaf, started from the nats.conf that the chart writes for them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.helm.engine import CHART, one, render
from tests.nats_server import BINARY, free_port
from tests.patience import PATIENCE_S

CLI = [sys.executable, "-P", "-m", "deploy.cli"]
NAME = "broadcast-broadcast-cluster-nats"
CONFIG = """
broker: {nats: {stream_cluster: eu, stream_backups: [us], request_deadline_s: 10}}
channel: {without_namespace: {history_size: 10, history_ttl: 60s, allow_subscribe_for_client: true}}
client: {insecure: true}
http_api: {insecure: true}
"""


class Sites:
    """NATS of two regions and of a site, one server each, and nodes that use them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._config = directory / "config.yaml"
        self._config.write_text(CONFIG)
        self._gateways = {name: free_port() for name in ("eu", "us")}
        self._leafs = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.urls: dict[str, str] = {}

    def start(self) -> None:
        """Start the servers; returns when the streams can be asked for, from each of them."""
        for name in self._gateways:
            remotes = [
                {"name": other, "urls": [f"nats://127.0.0.1:{port}"]}
                for other, port in self._gateways.items()
            ]
            gateway = {"name": name, "remotes": remotes, "advertise": f"127.0.0.1:{self._gateways[name]}"}
            self._serve(name, {"gateway": gateway, "leafNodes": {"accept": name == "eu"}})
        self._serve("leaf", {"leafNodes": {"remotes": [{"urls": [f"nats://127.0.0.1:{self._leafs}"]}]}})
        self.streams("us", "apply")

    def _serve(self, name: str, nats: dict[str, Any]) -> None:
        objects = render({"nats": {**nats, "replicas": 1, "sites": {"type": "ClusterIP"}}})
        text = str(one(objects, "ConfigMap", NAME)["data"]["nats.conf"])
        port, routes = free_port(), free_port()
        for old, new in {
            "0.0.0.0:4222": f"127.0.0.1:{port}",
            "0.0.0.0:8222": f"127.0.0.1:{free_port()}",
            "0.0.0.0:6222": f"127.0.0.1:{routes}",
            "0.0.0.0:7222": f"127.0.0.1:{self._gateways.get(name)}",
            "0.0.0.0:7422": f"127.0.0.1:{self._leafs}",
            f"{NAME}-0.{NAME}-headless:6222": f"127.0.0.1:{routes}",
            "/data": str(self._directory / name),
        }.items():
            text = text.replace(old, new)
        file = self._directory / f"{name}.conf"
        file.write_text("".join(line for line in text.splitlines(keepends=True) if "pid_file" not in line))
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([BINARY, "-c", file], env={"POD_NAME": name}, stderr=log)
        self.processes.append(process)
        self.urls[name] = f"nats://127.0.0.1:{port}"

    def streams(self, site: str, action: str) -> str:
        """Run `broadcast streams` at a site until it can be answered; returns what it printed."""
        command = [*CLI, "streams", action, "--config", str(self._config), "--nats", self.urls[site]]
        end = time.monotonic() + PATIENCE_S
        while True:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout
            logs = [file.read_text()[-500:] for file in self._directory.glob("*.log")]
            assert time.monotonic() < end, [done.stderr, *logs]

    def node(self, site: str) -> str:
        """Start a node at a site; returns HOST:PORT when it is ready."""
        reader, writer = os.pipe()
        command = [*CLI, "node", "--config", str(self._config), "--http-port", "0", "--nats", self.urls[site]]
        command += ["--set", "http_server.address=127.0.0.1", "--ready-fd", str(writer)]
        self.processes.append(subprocess.Popen(command, pass_fds=[writer]))
        os.close(writer)
        with os.fdopen(reader) as ready:
            return str(json.loads(ready.readline())["http"]).removeprefix("http://")


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    """Running; everything ends with the test."""
    made = Sites(tmp_path)
    try:
        made.start()
        yield made
    finally:
        for process in reversed(made.processes):
            process.kill()
            process.wait()


@pytest.mark.slow
def test_sites_share_channels_and_streams(sites: Sites) -> None:
    """Streams are seen from a leaf, and clients of a node there get what others publish, and the reverse."""
    assert sites.streams("leaf", "plan").count("as wanted") == 2
    leaf, other = sites.node("leaf"), sites.node("us")
    program = [sys.executable, CHART / "files" / "two_nodes.py"]
    done = subprocess.run([*program, leaf, other, "news"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("received at") == 2
