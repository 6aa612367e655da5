"""`broadcast coordinator`: one coordinator in the foreground."""

import argparse
import json
import os

from deploy.configs import add_config_arguments, overrides, read_config
from deploy.errors import UserError
from node.config.options import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_config_arguments(parser)
    parser.add_argument("--name", help="unique among coordinators (coordinator.name; default: host and port)")
    parser.add_argument("--http-address", metavar="ADDRESS", help="to listen on (coordinator.address)")
    parser.add_argument("--http-port", metavar="PORT", help="0 for any free one (coordinator.port)")
    parser.add_argument("--grpc-port", metavar="PORT", help="0 for any free one (coordinator.grpc_port)")
    parser.add_argument("--nats", metavar="URL", help="NATS servers, comma-separated (broker.nats.url)")
    parser.add_argument("--consul", metavar="URL", help="use Consul as the catalog (catalog.consul.url)")
    parser.add_argument(
        "--ready-fd",
        type=int,
        metavar="N",
        help="when ready, write {name, pid, http, grpc} as a line of JSON to this descriptor and close it",
    )
    parser.epilog = "Run several: one leads, any answers. SIGTERM and Ctrl-C stop it."


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    config = read_config(
        arguments.config,
        overrides(
            arguments,
            {
                "coordinator.name": arguments.name,
                "coordinator.address": arguments.http_address,
                "coordinator.port": arguments.http_port,
                "coordinator.grpc_port": arguments.grpc_port,
                "broker.nats.url": arguments.nats,
                "catalog.consul.url": arguments.consul,
                "catalog.type": "consul" if arguments.consul else None,
            },
        ),
    )
    from coordinator.grpc_api import GrpcError
    from deploy.coordinator_process import main
    from node.door.listeners import DoorError

    def tell_parent(host: str, port: int, grpc_port: int) -> None:
        if arguments.ready_fd is not None:
            announce(arguments.ready_fd, config, host, port, grpc_port)

    try:
        return main(config, on_ready=tell_parent)
    except* (DoorError, GrpcError) as group:
        failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    raise UserError(f"{failure}".replace("http_server.", "coordinator.")) from failure


def announce(descriptor: int, config: Config, host: str, port: int, grpc_port: int) -> None:
    """Write who is ready, and where, to whoever started this process.

    Args:
        descriptor: the writing end of a pipe; closed afterwards.
        config: of this coordinator.
        host: where it listens.
        port: of HTTP.
        grpc_port: of gRPC.
    """
    scheme = "https" if config.coordinator.tls.enabled else "http"
    host = f"[{host}]" if ":" in host else host
    ready = {
        "name": config.coordinator.name,
        "pid": os.getpid(),
        "http": f"{scheme}://{host}:{port}",
        "grpc": f"{host}:{grpc_port}",
    }
    with open(descriptor, "w", encoding="utf-8") as pipe:
        pipe.write(json.dumps(ready) + "\n")
