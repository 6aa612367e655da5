"""`broadcast streams`: the JetStream streams that keep history, compared with a config and changed by it."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from functools import partial

import trio

from deploy.configs import add_config_arguments, overrides, read_config
from deploy.errors import UserError
from deploy.streams import StreamChanges, review
from node.config.options import LogOptions
from node.telemetry.logs import configure_logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["plan", "apply"], help="show what would change, or change it")
    parser.add_argument("--nats", metavar="URL", help="NATS servers, comma-separated (broker.nats.url)")
    parser.add_argument("--json", action="store_true", help="print the changes as JSON")
    add_config_arguments(parser)
    parser.epilog = "A node creates a missing stream and never changes one: that is done here, once."


def run(arguments: argparse.Namespace) -> int:
    """Print what differs, and with `apply` change it."""
    config = read_config(arguments.config, overrides(arguments, {"broker.nats.url": arguments.nats}))
    if config.broker.type != "nats":
        raise UserError(f"broker.type is {config.broker.type}: only NATS has streams")
    changing = arguments.action == "apply"
    configure_logging(LogOptions(level="warning", format="console"), node="broadcast streams")
    reviewed = trio.run(partial(review, config, changing=changing))
    if arguments.json:
        print(json.dumps([dataclasses.asdict(entry) for entry in reviewed], default=str))
    else:
        print(report(reviewed, changing=changing))
    return 0


def report(reviewed: Sequence[StreamChanges], *, changing: bool) -> str:
    """What was found, or done, stream by stream."""
    if not reviewed:
        return "no namespace keeps history: there are no streams"
    lines = []
    for entry in reviewed:
        lines.append(f"{entry.stream}: {'' if entry.changes else 'as wanted'}".rstrip())
        for change in entry.changes:
            what = f"{change.setting}: {change.current} -> {change.wanted}; " if change.setting else ""
            lines.append(f"  {what}{change.meaning}{'' if change.possible else ' (IMPOSSIBLE)'}")
    changes = sum(len(entry.changes) for entry in reviewed)
    verb = "done" if changing else "to make; `broadcast streams apply` makes them"
    return "\n".join([*lines, f"{changes} change{'' if changes == 1 else 's'} {verb}"])
