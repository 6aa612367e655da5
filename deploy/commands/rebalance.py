"""`broadcast rebalance`: move just enough clients from the fullest nodes to the emptier ones."""

import argparse
import json

from deploy.commands.drain import outline
from deploy.coordinator_api import add_coordinator_arguments, coordinator_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        metavar="N",
        help="clients per second over all nodes (default: what the receiving nodes can take)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be moved")
    parser.add_argument("--no-wait", action="store_true", help="return as soon as it is asked for")
    parser.add_argument("--cancel", metavar="PLAN", help="end a rebalance")
    parser.add_argument("--json", action="store_true", help="one JSON event per line")
    add_coordinator_arguments(parser)
    parser.epilog = "Clients that came lately are left alone: nobody is moved twice in a few minutes."


def run(arguments: argparse.Namespace) -> int:
    """Ask for it, and follow it to its end."""
    coordinator = coordinator_of(arguments)
    if arguments.cancel:
        plan = coordinator.post(f"/v1/plans/{arguments.cancel}/cancel", {})
        print(json.dumps(plan) if arguments.json else f"plan {plan['id']}: {plan['state'].lower()}")
        return 0
    plan = coordinator.post("/v1/rebalance", {"rate": arguments.rate, "dry_run": arguments.dry_run})
    if arguments.dry_run or arguments.no_wait:
        print(json.dumps(plan) if arguments.json else outline(plan))
        return 0
    from deploy.plan_progress import follow

    return follow(coordinator, plan, as_json=arguments.json)
