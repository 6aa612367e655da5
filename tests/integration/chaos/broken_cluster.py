"""Nodes with one defect: `python -m tests.integration.chaos.broken_cluster DEFECT CONFIG READY_FILE`.

It is `broadcast up` with another node program: a line on standard output says that it is ready, standard
error has everybody's log, SIGTERM ends it.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import trio

from deploy import local
from deploy.cluster_settings import Output, Settings

NODES = 2


def main(defect: str, config: str, ready_file: str) -> int:
    """Run it until a signal ends it; returns the exit code."""
    program = (sys.executable, "-P", "-m", "tests.integration.chaos.broken_node", defect, "node")
    settings = Settings(
        nodes=NODES,
        http_port=0,
        config=Path(config),
        coordinator_port=0,
        ready_file=Path(ready_file),
        keep_going=True,
        node_command=program,
    )
    return trio.run(local.run, settings, Output(_log, partial(_log, "cluster"), _say_ready))


def _log(name: str, line: str) -> None:
    sys.stderr.write(f"{name} | {line}\n")


def _say_ready(_cluster: dict[str, Any]) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
