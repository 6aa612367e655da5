"""The nats-server of a local cluster: where the program is, how it is started, when it is ready."""

import re
import shutil
import sys
from pathlib import Path

from deploy.errors import UserError
from deploy.ports import HOST

_LISTENING = re.compile(r"\[INF\] Listening for client connections on (\S+:\d+)$")
_READY = re.compile(r"\[INF\] Server is ready$")


class Readiness:
    """Reads the server's log until it says that it is ready, so that nothing has to be polled.

    Attributes:
        url: where it listens, "" until it is ready.
    """

    def __init__(self) -> None:
        self.url = ""
        self._address = ""

    def read(self, line: str) -> bool:
        """Take one line of the log; whether the server is ready."""
        if listening := _LISTENING.search(line):
            self._address = listening[1]
        elif self._address and _READY.search(line):
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
