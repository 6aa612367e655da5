"""The nats-servers of a local cluster: where the program is, how they are started, when they are ready."""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.cluster_settings import NatsPorts
from deploy.errors import UserError
from deploy.ports import HOST

_LISTENING = re.compile(r"\[INF\] Listening for client connections on (\S+:\d+)$")
_READY = re.compile(r"\[INF\] Server is ready$")
# Several servers can make streams once they know who places them.
_LEADER = re.compile(r"\[INF\] (JetStream cluster|Self is) new (JetStream cluster )?metadata leader")


class Readiness:
    """Reads the server's log until it says that it is ready, so that nothing has to be polled.

    Args:
        clustered: whether it is one of several.

    Attributes:
        url: where it listens, "" until it is ready.
    """

    def __init__(self, *, clustered: bool = False) -> None:
        self.url = ""
        self._address = ""
        self._wanted = [_READY, _LEADER] if clustered else [_READY]

    def read(self, line: str) -> bool:
        """Take one line of the log; whether the server is ready."""
        if listening := _LISTENING.search(line):
            self._address = listening[1]
        elif self._address:
            self._wanted = [pattern for pattern in self._wanted if not pattern.search(line)]
            if not self._wanted:
                self.url = f"nats://{self._address}"
        return bool(self.url)


def find_program() -> str:
    """The nats-server of this environment, else the one on the PATH.

    Raises:
        UserError: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if program is None:
        raise UserError(
            "there is no nats-server here: start through the launcher, which installs one, or give --nats URL"
        )
    return program


def command(program: str, port: int, store: Path) -> list[str]:
    """A server with JetStream that listens on this machine only.

    Args:
        program: from `find_program`.
        port: where it listens.
        store: directory for what JetStream keeps.
    """
    return [program, "-a", HOST, "-p", str(port), "-js", "-sd", str(store), "-n", "local"]


def commands(program: str, ports: Sequence[NatsPorts], store: Path, scratch: Path) -> dict[str, list[str]]:
    """One server, or several that keep each other's streams; by their names.

    Args:
        program: from `find_program`.
        ports: of each.
        store: directory for what JetStream keeps.
        scratch: directory for configuration files.
    """
    if len(ports) == 1:
        return {"nats": command(program, ports[0].client, store)}
    routes = ", ".join(f'"nats-route://{HOST}:{each.route}"' for each in ports)
    found = {}
    for number, each in enumerate(ports, 1):
        name = f"nats-{number}"
        file = scratch / f"{name}.conf"
        # Clients are given all addresses. Told of them by the servers too, they would go round whatever
        # stands between, such as a proxy under test.
        file.write_text(
            f"server_name: {name}\nlisten: {HOST}:{each.client}\n"
            f"jetstream {{ store_dir: {json.dumps(str(store / name))} }}\n"
            f"cluster {{ name: local, listen: {HOST}:{each.route}, "
            f"no_advertise: true, routes: [{routes}] }}\n"
        )
        found[name] = [program, "-c", str(file)]
    return found
