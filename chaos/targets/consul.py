"""A Consul agent of a run: where its program is, what it is started as, and when it is ready.

One agent that is the whole cluster and keeps everything in memory: started again, it knows nobody.
"""

import json
import os
import random
import socket
import subprocess
from pathlib import Path

import trio

from chaos.targets.child import Child, Program
from chaos.targets.interface import Skipped
from chaos.targets.usage import get

NAME = "consul"
_BUILD = Path(__file__).parents[2] / ".ci" / "consul"
_HOST = "127.0.0.1"
_POLL_S = 0.05
# Below the range from which the kernel takes ports for outgoing connections: a client that comes back to a
# dead agent must not be given the agent's own port.
_PORTS = range(15_000, 31_000)


def find() -> Path:
    """The program, as it was built from the repository.

    Raises:
        Skipped: it is not there.
    """
    if not _BUILD.exists():
        raise Skipped("Consul is built from a checkout of the repository only, by .ci/consul")
    told = subprocess.run([_BUILD, "--where"], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    path = Path(told.stdout.strip())
    if told.returncode or not path.is_file():
        raise Skipped("there is no Consul here; .ci/consul builds it")
    return path


def program(binary: Path, directory: Path, chance: random.Random) -> tuple[Program, str]:
    """What to start, and the address it will have.

    Args:
        binary: the program.
        directory: where its configuration is written.
        chance: of its ports, which stay the same when it is started again.
    """
    http, server, lan, wan = _free_ports(chance, 4)
    unused = {"https": -1, "grpc": -1, "dns": -1}
    config = {
        "node_name": NAME,
        "bind_addr": _HOST,
        "ports": {**unused, "http": http, "server": server, "serf_lan": lan, "serf_wan": wan},
        # Elsewhere every machine has an agent of its own.
        "limits": {"http_max_conns_per_client": 1000},
        "disable_update_check": True,
    }
    file = directory / "consul.json"
    file.write_text(json.dumps(config))
    arguments = (str(binary), "agent", "-dev", "-config-file", str(file))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}
    return Program(arguments, str(Path.cwd()), environment), f"http://{_HOST}:{http}"


async def ready(url: str, child: Child) -> None:
    """Wait until the agent leads and knows itself, or has ended."""
    while child.running:
        known = await get(url, f"/v1/health/node/{NAME}")
        if known and json.loads(known):
            return
        await trio.sleep(_POLL_S)


def _free_ports(chance: random.Random, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = chance.choice(_PORTS)
        with socket.socket() as sock:
            try:
                sock.bind((_HOST, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
