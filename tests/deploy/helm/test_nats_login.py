"""`nats.auth`: nats-server, started as in the chart, lets in who knows the password and nobody else."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.deploy.helm.engine import Object, Refused, one, render, variables
from tests.nats_server import BINARY, free_port
from tests.patience import PATIENCE_S

NAME = "broadcast-broadcast-cluster"
USER, PASSWORD, ROUTES = (
    "BROADCAST_BROKER_NATS_USER",
    "BROADCAST_BROKER_NATS_PASSWORD",
    "NATS_ROUTES_PASSWORD",
)


def values(password: str = "only-for-tests", **more: str) -> Object:
    """With a login for NATS, and more of the Secret."""
    secret = {USER: "cluster", PASSWORD: password, **more}
    return {"nats": {"auth": True, "replicas": 3}, "secret": {"values": secret}}


class Server:
    """One of the chart's servers, on this machine.

    Attributes:
        port: for clients.
        routes: for other servers.
    """

    def __init__(self, directory: Path, index: int) -> None:
        self.port, self.routes, self._monitor = free_port(), free_port(), free_port()
        self._file = directory / f"{index}.conf"
        self._index = index

    @contextmanager
    def running(self, objects: list[Object], servers: "list[Server]") -> Iterator[None]:
        """Until the context ends; `servers` are all of the cluster."""
        text = one(objects, "ConfigMap", f"{NAME}-nats")["data"]["nats.conf"]
        environ = {"POD_NAME": f"nats-{self._index}", **variables(objects, "StatefulSet", f"{NAME}-nats")}
        here = {"4222": self.port, "6222": self.routes, "8222": self._monitor}
        for old, new in here.items():
            text = text.replace(f"0.0.0.0:{old}", f"127.0.0.1:{new}")
        for index, server in enumerate(servers):
            name = f"{NAME}-nats-{index}.{NAME}-nats-headless:6222"
            environ["NATS_ROUTES"] = environ["NATS_ROUTES"].replace(name, f"127.0.0.1:{server.routes}")
        text = text.replace("/data", str(self._file.with_suffix(".data")))
        self._file.write_text("".join(line for line in text.splitlines(True) if "pid_file" not in line))
        process = subprocess.Popen([BINARY, "-c", self._file], env=environ, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if "Listening for route connections" in line:
                    break
            else:
                pytest.fail("".join(said))
            yield
        finally:
            process.kill()
            process.communicate()

    def peers(self) -> int:
        """How many servers it is joined with."""
        with socket.create_connection(("127.0.0.1", self._monitor), PATIENCE_S) as asked:
            asked.sendall(b"GET /routez HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: asked.recv(65536), b""))
        return len({each["remote_id"] for each in json.loads(answer.split(b"\r\n\r\n")[1]).get("routes", ())})


def welcomed(port: int, **login: str) -> bool:
    """Whether a server takes this CONNECT."""
    connect = json.dumps({"verbose": False, "pedantic": False, **login})
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client, client.makefile("rb") as lines:
        lines.readline()  # INFO
        client.sendall(f"CONNECT {connect}\r\nPING\r\n".encode())
        for line in lines:
            if line.startswith((b"PONG", b"-ERR")):
                return line.startswith(b"PONG")
    return False


@pytest.mark.parametrize(
    "password", ["123456", "12k", "a;b", "a b", "$ecret", 'p"q\\n', "#x", "true", "$(x)"]
)
def test_a_password_is_taken_as_it_is(password: str, tmp_path: Path) -> None:
    """A server reads variables as configuration: none of these is a number, a comment or a variable."""
    objects, server = render(values(password)), Server(tmp_path, 0)
    with server.running(objects, [server]):
        assert welcomed(server.port, user="cluster", **{"pass": password})
        assert not welcomed(server.port, user="cluster", **{"pass": password + "x"})
        assert not welcomed(server.port)


def test_servers_know_each_other_and_nobody_else(tmp_path: Path) -> None:
    """With a password of their own: without one, whoever comes as a server may do everything."""
    objects = render(values(**{ROUTES: "0e1234"}))
    servers = [Server(tmp_path, index) for index in range(3)]
    with ExitStack() as stack:
        for each in servers:
            stack.enter_context(each.running(objects, servers))
        end = time.monotonic() + PATIENCE_S
        while servers[0].peers() < 2:
            assert time.monotonic() < end, "the servers do not find each other"
        for login in ({}, {"user": "cluster", "pass": "only-for-tests"}):
            assert not welcomed(servers[0].routes, **login)


def test_servers_start_anew_with_another_password() -> None:
    """Nodes do, and one that the servers do not know yet would be turned away for ever."""
    seen = [
        one(render(each), "StatefulSet", f"{NAME}-nats")["spec"]["template"]["metadata"]["annotations"]
        for each in (values("a"), values("b"), values("b", BROADCAST_HTTP_API_KEY="other"))
    ]
    assert seen[0] != seen[1] == seen[2]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (values("it's"), "nats.conf cannot take"),
        (values("$2a$11$hash"), "nats.conf cannot take"),
        (values(""), "PASSWORD is not in secret.values"),
        ({"nats": {"auth": True}}, "USER is not in secret.values"),
        ({**values(), "secret": {**values()["secret"], "generate": False}}, "ROUTES_PASSWORD is not in"),
        ({"secret": {"values": {PASSWORD: 12345678}}}, "want string"),
    ],
)
def test_logins_that_cannot_work_are_refused(given: Object, told: str) -> None:
    """By Helm, and not by servers that do not start."""
    with pytest.raises(Refused, match=told):
        render(given)
