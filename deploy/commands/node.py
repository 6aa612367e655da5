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
    parser.add_argument(
        "--serve",
        choices=("http", "grpc"),
        default="http",
        help="what clients speak to it; a gRPC node has an HTTP port too, for probes (default: http)",
    )
    parser.add_argument("--grpc-address", metavar="ADDRESS", help="to listen on (grpc_server.address)")
    parser.add_argument("--grpc-port", metavar="PORT", help="0 for any free one (grpc_server.port)")
    parser.add_argument("--nats", metavar="URL", help="NATS servers, comma-separated (broker.nats.url)")
    parser.add_argument(
        "--ready-fd",
        type=int,
        metavar="N",
        help="when ready, write {name, pid, http, grpc} as a line of JSON to this descriptor and close it",
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
                "grpc_server.address": arguments.grpc_address,
                "grpc_server.port": arguments.grpc_port,
                "broker.nats.url": arguments.nats,
            },
        ),
    )
    from node.door.listeners import DoorError
    from node.grpc.errors import GrpcError
    from node.serve import main

    def tell_parent(host: str, port: int, grpc_port: int) -> None:
        if arguments.ready_fd is not None:
            announce(arguments.ready_fd, config, host, port, grpc_port)

    try:
        return main(config, on_ready=tell_parent, grpc=arguments.serve == "grpc")
    except* (DoorError, GrpcError) as group:
        failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    raise UserError(f"{failure}") from failure


def announce(descriptor: int, config: Config, host: str, port: int, grpc_port: int = 0) -> None:
    """Write who is ready, and where, to whoever started this process.

    Args:
        descriptor: the writing end of a pipe; closed afterwards.
        config: of this node.
        host: where it listens.
        port: where it listens.
        grpc_port: where it listens for gRPC, on the same host as it is reached from here; 0: nowhere.
    """
    host = f"[{host}]" if ":" in host else host
    scheme = "https" if config.http_server.tls.enabled else "http"
    grpc = f"{host}:{grpc_port}" if grpc_port else None
    line = json.dumps(
        {"name": config.node.name, "pid": os.getpid(), "http": f"{scheme}://{host}:{port}", "grpc": grpc}
    )
    with open(descriptor, "w", encoding="utf-8") as pipe:
        pipe.write(line + "\n")
