"""`broadcast up`: a cluster on this machine, and what a newcomer can do with it."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import trio

from deploy import local
from deploy.cluster_settings import COORDINATOR_COMMAND, NODE_COMMAND, Output, Settings, node_name
from deploy.configs import read_config
from deploy.coordinator_api import DEFAULT_URL
from deploy.terminal import discard_output
from node.config.nats_urls import hide_logins
from node.config.options import Config

DEVELOPMENT = Path(__file__).resolve().parents[1] / "development.yaml"
_COORDINATOR_PORT = 7000
_COLOURS = (36, 33, 35, 32, 34, 31)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--nodes", type=_count, default=2, metavar="N", help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--http-port",
        type=int,
        default=8000,
        metavar="PORT",
        help="of the first node, the next ones follow; 0: any free ones (default: %(default)s)",
    )
    parser.add_argument(
        "--grpc-nodes", type=_count_or_none, default=0, metavar="N", help="how many more that serve gRPC"
    )
    parser.add_argument(
        "--grpc-port",
        type=int,
        default=9000,
        metavar="PORT",
        help="of the first of those, the next ones follow; 0: any free ones (default: %(default)s)",
    )
    parser.add_argument(
        "--coordinator-port",
        type=int,
        metavar="PORT",
        help="of the coordinator, its gRPC port is the next; 0: any free ones (default: 7000; with "
        "--http-port 0: any)",
    )
    parser.add_argument("--nats", default="", metavar="URL", help="use these NATS servers and start none")
    parser.add_argument(
        "--nats-port", type=int, default=0, metavar="PORT", help="of the first NATS server (default: any)"
    )
    parser.add_argument(
        "--nats-servers",
        type=_count,
        default=1,
        metavar="N",
        help="how many; of three, one can be lost (default: %(default)s)",
    )
    parser.add_argument(
        "--consul", default="", metavar="URL", help="keep the catalog in Consul (default: in NATS)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep history here (default: lost at the end)"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="of every process (default: open to everybody, for development)",
    )
    parser.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="write addresses and process ids here as JSON"
    )
    parser.add_argument("--keep-going", action="store_true", help="go on with the others when a process dies")


def run(arguments: argparse.Namespace) -> int:
    """Run a cluster until Ctrl-C or SIGTERM."""
    config_file = arguments.config or DEVELOPMENT
    # What is wrong is said once, here, and not by every node.
    overrides = {"broker.nats.url": arguments.nats or None, "catalog.consul.url": arguments.consul or None}
    config = read_config(config_file, overrides)
    console = sys.stdout.isatty() and config.log.format == "auto"
    as_console = ("--set", "log.format=console") if console else ()
    settings = Settings(
        nodes=arguments.nodes,
        http_port=arguments.http_port,
        grpc_nodes=arguments.grpc_nodes,
        grpc_port=arguments.grpc_port,
        config=config_file,
        scheme="https" if config.http_server.tls.enabled else "http",
        coordinator_scheme="https" if config.coordinator.tls.enabled else "http",
        coordinator_port=_coordinator_port(arguments, config),
        consul_url=arguments.consul,
        nats_url=arguments.nats,
        nats_port=arguments.nats_port,
        nats_servers=arguments.nats_servers,
        data=arguments.data,
        ready_file=arguments.ready_file,
        keep_going=arguments.keep_going,
        node_stop_max_s=config.shutdown.timeout,
        # The processes write into our pipe and cannot see that a person reads at its end.
        node_command=(*NODE_COMMAND, *as_console),
        coordinator_command=(*COORDINATOR_COMMAND, *as_console),
    )
    screen = Screen(settings.nodes, insecure=config.client.insecure)
    return trio.run(partial(local.run, settings, Output(screen.child, screen.event, screen.ready)))


class Screen:
    """Writes what the cluster says; coloured on a terminal only.

    Args:
        nodes: how many there are, for the width of their names.
        insecure: whether everybody may connect: said aloud.
    """

    def __init__(self, nodes: int, *, insecure: bool) -> None:
        self._width = max(len(node_name(nodes - 1)), len("coordinator"))
        self._insecure = insecure
        self._coloured = sys.stdout.isatty()
        self._colours: dict[str, int] = {}

    def child(self, name: str, line: str) -> None:
        """One line of a process, behind its name; of nats-server only what it warns of."""
        if name.startswith("nats") and "[INF]" in line:
            return
        prefix = f"{name:<{self._width}} |"
        if self._coloured:
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            prefix = f"\033[{colour}m{prefix}\033[0m"
        self._write(f"{prefix} {line}")

    def event(self, text: str) -> None:
        """Something to know about the cluster."""
        self._write(f"broadcast: {text}")

    def ready(self, cluster: dict[str, Any]) -> None:
        """Where everything is, and what to try next."""
        self._write(banner(cluster, insecure=self._insecure))

    def _write(self, text: str) -> None:
        try:
            print(text, flush=True)
        except BrokenPipeError:
            discard_output()  # the cluster goes on: a signal ends it


def banner(cluster: dict[str, Any], *, insecure: bool) -> str:
    """The addresses, a warning where everybody may do everything, and commands to copy."""
    nodes = cluster["nodes"]
    addresses = [node["http"] for node in nodes if node["http"]]
    lines = ["", f"The cluster is ready: {len(nodes)} node{'s' if len(nodes) > 1 else ''}."]
    lines += [
        f"  {node['name']:<11} {node['http'] or 'gRPC at ' + node['grpc']}  pid {node['pid']}"
        for node in nodes
    ]
    if coordinator := cluster["coordinator"]:
        about = f"pid {coordinator['pid']}, gRPC at {coordinator['grpc']}"
        lines.append(f"  {'coordinator':<11} {coordinator['url']}  {about}")
    nats = cluster["nats"]
    servers = nats.get("servers") or [{**nats, "name": "nats"}]
    lines += [
        f"  {server['name']:<11} {hide_logins(server['url'])}"
        + (f"  pid {server['pid']}" if server["pid"] else "")
        for server in servers
    ]
    if insecure:
        lines += ["", "Insecure development mode: whoever reaches these ports may connect, publish and read."]
    lines += [
        "",
        "Open a node's page in a browser, or try in other terminals:",
        f"  ./broadcast subscribe news --url {addresses[-1]}",
        f"  ./broadcast publish news '{{\"hello\":1}}' --url {addresses[0]}",
        f"  curl -N '{addresses[-1]}/sse?channel=news'",
        *_to_try(cluster),
        "",
        "Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


def _to_try(cluster: dict[str, Any]) -> list[str]:
    """Commands for the coordinator, if there is one."""
    if not cluster["coordinator"]:
        return []
    url = cluster["coordinator"]["url"]
    where = "" if url == DEFAULT_URL else f" --coordinator {url}"
    return [f"  ./broadcast nodes{where}", f"  ./broadcast drain {cluster['nodes'][0]['name']}{where}"]


def _coordinator_port(arguments: argparse.Namespace, config: Config) -> int | None:
    """Where the coordinator listens; None where the configuration has no catalog."""
    if config.catalog.type == "none" and not arguments.consul:
        return None
    if arguments.coordinator_port is None:
        return _COORDINATOR_PORT if arguments.http_port else 0
    return int(arguments.coordinator_port)


def _count_or_none(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 100, found {text}")
    return int(text)
