"""`broadcast undrain`: put nodes back into rotation."""

import argparse
import json
import time
from collections.abc import Sequence

from deploy.coordinator_api import CoordinatorApi, Unavailable, add_coordinator_arguments, coordinator_of
from deploy.errors import UserError

# A coordinator gives up telling a node to serve after as long.
_PATIENCE_S = 30.0
_AGAIN_S = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("nodes", nargs="+", metavar="NODE", help="see broadcast nodes")
    parser.add_argument("--no-wait", action="store_true", help="return as soon as it is asked for")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_coordinator_arguments(parser)
    parser.epilog = "Exit codes: 0 they take new sessions again (--no-wait: were told to), 1 one does not."


def run(arguments: argparse.Namespace) -> int:
    """Ask for it, and wait until the nodes take new sessions: a drain of another node needs them."""
    coordinator = coordinator_of(arguments)
    for node in arguments.nodes:
        coordinator.post("/v1/undrain", {"node": node})
        if not arguments.json:
            print(f"{node} goes back into rotation", flush=True)
    if not arguments.no_wait:
        await_serving(coordinator, arguments.nodes)
    for node in arguments.nodes:
        if arguments.json:
            print(json.dumps({"node": node, "undrained": True}))
        elif not arguments.no_wait:
            print(f"{node} is in rotation")
    return 0


def await_serving(coordinator: CoordinatorApi, nodes: Sequence[str], patience_s: float = _PATIENCE_S) -> None:
    """Return when all these nodes serve, as far as the coordinator has heard.

    Args:
        coordinator: any one; it may be without its catalog for a while.
        nodes: their names.
        patience_s: for all of them, seconds.

    Raises:
        UserError: some do not in that time; says what they do instead.
    """
    gives_up_at = time.monotonic() + patience_s
    while True:
        try:
            seen = {node["name"]: node for node in coordinator.get("/v1/nodes")["nodes"]}
            waits = {node: _instead(seen.get(node)) for node in nodes}
            waits = {node: instead for node, instead in waits.items() if instead}
        except Unavailable as error:
            waits = dict.fromkeys(nodes, f"nobody can say ({error})")
        if not waits:
            return
        if time.monotonic() >= gives_up_at:
            what = "; ".join(f"{node}: {instead}" for node, instead in waits.items())
            raise UserError(f"not back in rotation after {patience_s:g} s: {what}; look at its log")
        time.sleep(_AGAIN_S)


def _instead(node: dict[str, str] | None) -> str:
    """What a node does instead of serving, "" if it serves."""
    if node is None:
        return "it is gone"
    if node["state"] == "SERVING":
        return ""
    return node["state"].lower().replace("_", " ") + (f", {node['reason']}" if node["reason"] else "")
