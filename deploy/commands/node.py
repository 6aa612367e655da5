"""`broadcast node`: one node in the foreground."""

import argparse
import json
import os

from deploy.configs import add_config_arguments, overrides, read_config
from deploy.errors import UserError
from node.config.options import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_config_arguments(parser)
    parser.add_argument("--name", help="what others call it (node.name; default: host name and port)")
    parser.add_argument("--http-address", metavar="ADDRESS", help="to listen on (http_server.address)")
    parser.add_argument("--http-port", metavar="PORT", help="0 for any free one (http_server.port)")
    parser.add_argument("--nats", metavar="URL", help="NATS servers, comma-separated (broker.nats.url)")
    parser.add_argument(
        "--ready-fd",
        type=int,
        metavar="N",
        help="when ready, write {name, pid, http} as a line of JSON to this descriptor and close it",
    )
    parser.epilog = "SIGTERM and Ctrl-C stop it gracefully, a second one at once."


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    config = read_config(
        arguments.config,
        overrides(
            arguments,
            {
                "node.name": arguments.name,
                "http_server.address": arguments.http_address,
                "http_server.port": arguments.http_port,
                "broker.nats.url": arguments.nats,
            },
        ),
    )
    from node.door.listeners import DoorError
    from node.serve import main

    def tell_parent(host: str, port: int) -> None:
        if arguments.ready_fd is not None:
            announce(arguments.ready_fd, config, host, port)

    try:
        return main(config, on_ready=tell_parent)
    except* DoorError as group:
        failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    raise UserError(f"{failure}") from failure


def announce(descriptor: int, config: Config, host: str, port: int) -> None:
    """Write who is ready, and where, to whoever started this process.

    Args:
        descriptor: the writing end of a pipe; closed afterwards.
        config: of this node.
        host: where it listens.
        port: where it listens.
    """
    host = f"[{host}]" if ":" in host else host
    line = json.dumps({"name": config.node.name, "pid": os.getpid(), "http": f"http://{host}:{port}"})
    with open(descriptor, "w", encoding="utf-8") as pipe:
        pipe.write(line + "\n")
