"""`broadcast undrain`: put nodes back into rotation."""

import argparse
import json

from deploy.coordinator_api import add_coordinator_arguments, coordinator_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("nodes", nargs="+", metavar="NODE", help="see broadcast nodes")
    add_coordinator_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask for it; the nodes take new sessions within a second or two."""
    coordinator = coordinator_of(arguments)
    for node in arguments.nodes:
        coordinator.post("/v1/undrain", {"node": node})
        print(
            json.dumps({"node": node, "undrained": True})
            if arguments.json
            else f"{node} goes back into rotation"
        )
    return 0
