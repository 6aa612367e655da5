"""`broadcast drain`: empty nodes at the pace the others can take, and show it happen."""

import argparse
import json
from typing import Any

from coordinator.words import clients
from deploy.coordinator_api import add_coordinator_arguments, coordinator_of
from deploy.errors import UserError
from node.config.durations import parse_duration

_PICKS = {"random": "RANDOM", "largest": "LARGEST_FIRST"}
_EPILOG = """\
Examples:
  broadcast drain node-1 --deadline 60s             take it out of rotation and empty it
  broadcast drain node-1 node-2                     both at once, each to nodes that stay
  broadcast drain --all --max-unavailable 1 --resume    one after the other, back in between
  broadcast drain node-1 --stop                     and end the process, with exit code 0
  broadcast drain --cancel PLAN                     its nodes take new sessions again

Exit codes: 0 everything was drained, 1 it failed or was cancelled. Ctrl-C ends this command, not the drain.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("nodes", nargs="*", metavar="NODE", help="in this order; see broadcast nodes")
    parser.add_argument("--all", action="store_true", help="every node that is there now")
    parser.add_argument(
        "--deadline", type=_seconds, default=60.0, metavar="TIME", help="for each node (default: 60s)"
    )
    parser.add_argument(
        "--max-unavailable",
        type=int,
        metavar="N",
        help="out of rotation at a time; 0: all together (default: 1 with --all, otherwise 0)",
    )
    parser.add_argument("--stop", action="store_true", help="end the process of each node when it is empty")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="put each node back into rotation when it is empty; so it is in any case where nodes leave one "
        "after another without --stop",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="even if the deadline is too short or no node is left for clients",
    )
    parser.add_argument(
        "--pick", choices=list(_PICKS), default="random", help="who goes first (default: %(default)s)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
    parser.add_argument("--no-wait", action="store_true", help="return as soon as it is asked for")
    parser.add_argument("--cancel", metavar="PLAN", help="end a drain, or a rebalance")
    parser.add_argument("--json", action="store_true", help="one JSON event per line")
    add_coordinator_arguments(parser)
    parser.epilog = _EPILOG


def run(arguments: argparse.Namespace) -> int:
    """Ask for the drain, and follow it to its end."""
    coordinator = coordinator_of(arguments)
    if arguments.cancel:
        plan = coordinator.post(f"/v1/plans/{arguments.cancel}/cancel", {})
        print(json.dumps(plan) if arguments.json else f"plan {plan['id']}: {plan['state'].lower()}")
        return 0
    if bool(arguments.nodes) == arguments.all:
        wrong = "both nodes and --all are given: " if arguments.all else ""
        raise UserError(f"{wrong}say which nodes, or --all")
    plan = coordinator.post("/v1/drain", request(arguments))
    if arguments.dry_run or arguments.no_wait:
        print(json.dumps(plan) if arguments.json else outline(plan))
        return 0
    from deploy.plan_progress import follow

    return follow(coordinator, plan, as_json=arguments.json)


def request(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments as a DrainRequest."""
    unavailable_max = arguments.max_unavailable
    if unavailable_max is None:
        unavailable_max = 1 if arguments.all else 0
    return {
        "nodes": arguments.nodes,
        "all": arguments.all,
        "deadline_s": arguments.deadline,
        "unavailable_max": unavailable_max,
        "stop": arguments.stop,
        "resume": arguments.resume,
        "force": arguments.force,
        "pick": _PICKS[arguments.pick],
        "dry_run": arguments.dry_run,
    }


def outline(plan: dict[str, Any]) -> str:
    """What a plan will do."""
    lines = [f"{plan['kind'].lower()} {plan['id']}".rstrip() + (f": {plan['note']}" if plan["note"] else "")]
    for step in plan["steps"]:
        count = step["count"] or step["connections"] or step["connections_before"]
        lines.append(f"  {step['node']}: {clients(count)} to other nodes")
    return "\n".join(lines)


def _seconds(text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
