"""`broadcast nodes`: who is in the cluster, how full, and what is being drained."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from deploy.coordinator_api import add_coordinator_arguments, coordinator_of

_HEADINGS = (
    "NODE",
    "STATE",
    "SESSIONS",
    "CAPACITY",
    "NEW/S",
    "CPU",
    "LAG",
    "MEMORY",
    "UP",
    "VERSION",
    "REASON",
)
_ENDED = frozenset(("DONE", "FAILED", "CANCELLED"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_coordinator_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print everything the coordinator says, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the nodes, who leads, and plans that are under way."""
    answer = coordinator_of(arguments).get("/v1/nodes")
    if arguments.json:
        print(json.dumps(answer))
    else:
        print(report(answer))
    return 0


def report(answer: dict[str, Any]) -> str:
    """A table of the nodes, and a line per plan."""
    nodes = sorted(answer["nodes"], key=lambda node: str(node["name"]))
    lines = table([_HEADINGS, *(_row(node) for node in nodes)]) if nodes else ["no node is registered"]
    leader = answer.get("leader") or {}
    lines += ["", f"{leader['name']} leads" if leader.get("name") else "nobody leads at the moment"]
    for plan in answer["plans"]:
        if plan["state"] not in _ENDED:
            names = ", ".join(step["node"] for step in plan["steps"])
            note = f": {plan['note']}" if plan["note"] else ""
            lines.append(f"{plan['kind'].lower()} {plan['id']} of {names} is {plan['state'].lower()}{note}")
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(node: dict[str, Any]) -> tuple[str, ...]:
    return (
        node["name"],
        node["state"].lower().replace("_", " "),
        str(node["connections"]),
        str(node["capacity"]),
        f"{node['connect_rate']:.0f}/{node['connect_rate_max']:.0f}",
        f"{node['cpu']:.0%}",
        f"{node['loop_lag_s'] * 1000:.1f} ms",
        f"{int(node['memory_bytes']) / 2**20:.0f} MiB",
        f"{node['uptime_s']:.0f} s",
        node["version"],
        node["reason"],
    )
