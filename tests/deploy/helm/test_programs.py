"""What the chart hands to programs, tried with them: nats-server, a node, and what `helm test` runs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.deploy.helm.engine import CASES, CHART, one, rendered, variables
from tests.nats_server import NatsServer
from tests.patience import PATIENCE_S

BROADCAST = Path(sys.executable).with_name("broadcast")
KEYS = {
    "BROADCAST_CLIENT_TOKEN_HMAC_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "BROADCAST_HTTP_API_KEY": "only-for-tests",
}


class Nodes:
    """Nodes with the chart's own config, except that their NATS is here and has one server."""

    def __init__(self, config: Path, nats: NatsServer) -> None:
        self._config = config
        self._nats = nats
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *before: str) -> str:
        """Start one, behind the words of another program; returns HOST:PORT."""
        reader, writer = os.pipe()
        settings = ["--set", "broker.nats.stream_replicas=1", "--set", "http_server.address=127.0.0.1"]
        command = [*before, str(BROADCAST), "node", "--config", str(self._config), "--http-port", "0"]
        command += ["--nats", self._nats.url, *settings, "--ready-fd", str(writer)]
        process = subprocess.Popen(command, pass_fds=[writer], env={**os.environ, **KEYS})
        self.processes.append(process)
        os.close(writer)
        with os.fdopen(reader) as ready:
            return str(json.loads(ready.readline())["http"]).removeprefix("http://")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Nothing yet; what was started ends with the test."""
    found = next(o for o in rendered("default") if o["kind"] == "ConfigMap" and "config.yaml" in o["data"])
    config = tmp_path / "config.yaml"
    config.write_text(found["data"]["config.yaml"])
    with NatsServer() as nats:
        started = Nodes(config, nats)
        try:
            yield started
        finally:
            for process in started.processes:
                process.kill()
                process.wait()


def two_nodes(*arguments: str, **keys: str) -> subprocess.CompletedProcess[str]:
    """Run the program of `helm test`."""
    command = [sys.executable, str(CHART / "files" / "two_nodes.py"), *arguments]
    return subprocess.run(
        command,
        env={**os.environ, **KEYS, **keys},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_test_of_the_chart_passes_on_two_nodes_and_fails_without(nodes: Nodes) -> None:
    """With the default config and the keys of the Secret, `helm test` publishes and receives both ways."""
    first, second = nodes.start(), nodes.start()
    done = two_nodes(first, second, "helm-test")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("received at") == 2
    for wrong in ({"BROADCAST_HTTP_API_KEY": "wrong"}, {"BROADCAST_CLIENT_TOKEN_HMAC_SECRET_KEY": "x" * 32}):
        assert two_nodes(first, second, "helm-test", **wrong).returncode != 0
    assert "two nodes are needed" in two_nodes(first, "helm-test").stderr


@pytest.mark.parametrize("first", [["tini", "--"], []], ids=["tini", "the node itself"])
def test_process_1_of_a_container_drains_on_sigterm(nodes: Nodes, first: list[str]) -> None:
    """A process 1 gets only the signals it handles itself: tini and the node do, and end with exit code 0."""
    if first and not shutil.which(first[0]):
        pytest.skip(f"there is no {first[0]} here")
    namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    try:
        subprocess.run([*namespace, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine makes no process namespaces: `unshare --user --pid` fails")
    nodes.start(*namespace, *first)
    (process,) = nodes.processes
    (child,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    numbers = Path(f"/proc/{child}/status").read_text().split("NSpid:")[1].splitlines()[0].split()
    assert numbers[-1] == "1"
    os.kill(child, signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 0


@pytest.mark.parametrize("case", CASES)
def test_nats_takes_its_config(case: str, tmp_path: Path) -> None:
    """nats-server itself reads what the chart writes for it."""
    maps = [o["data"]["nats.conf"] for o in rendered(case) if "nats.conf" in o.get("data", {})]
    if not maps:
        assert case == "external-nats-values"
        return
    file = tmp_path / "nats.conf"
    file.write_text(maps[0].replace("/tls/", f"{tmp_path}/"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    certificate = authority.issue_cert("nats.eu.example.com")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    name = "broadcast-broadcast-cluster-nats"
    environ = {"POD_NAME": "nats-0", **variables(rendered(case), "StatefulSet", name)}
    program = BROADCAST.with_name("nats-server")
    done = subprocess.run(
        [program, "-t", "-c", file], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_budget_of_nats_keeps_a_majority() -> None:
    """One server at a time: two of three keep every stream writable."""
    budget = one(rendered("default"), "PodDisruptionBudget", "broadcast-broadcast-cluster-nats")
    assert budget["spec"]["maxUnavailable"] == 1


def test_nats_is_a_lame_duck_before_it_hears_sigterm() -> None:
    """The hook gives a server that is too busy to look the time to obey it; SIGTERM would end it at once."""
    owner = one(rendered("default"), "StatefulSet", "broadcast-broadcast-cluster-nats")
    hook = owner["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    with (
        NatsServer('lame_duck_grace_period: "90s"', jetstream=False) as nats,
        socket.create_connection(("127.0.0.1", nats.port)) as client,
    ):
        client.recv(1)  # a client, without which it would have nothing to wait for
        pid_file = nats.directory / "nats.pid"
        pid_file.write_text(str(nats.pid))
        command = [re.sub(r"[\w/]+nats\.pid", str(pid_file), word) for word in hook]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        nats.freeze()
        running = subprocess.Popen(command, env={**os.environ, "PATH": path})
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(timeout=1)
        nats.thaw()
        assert running.wait(timeout=PATIENCE_S) == 0
        nats.send_signal(signal.SIGTERM)
        assert nats.process is not None
        with pytest.raises(subprocess.TimeoutExpired):
            nats.process.wait(timeout=0.5)
        nats.kill()
