"""The command line: finds the module of a command, parses its arguments and runs it.

A command is a module of `deploy/commands` with `add_arguments(parser)` and `run(arguments) -> int`; it is
imported only when it is called, so that `broadcast --help` needs no more than this file. Exit codes: 0 ok,
1 failed, 2 wrong usage. What the user can set right is said in one sentence on stderr; a traceback means a
defect of ours.
"""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from deploy.errors import UserError
from deploy.terminal import discard_output

FAILED = 1
USAGE = 2
INTERRUPTED = 130


class Command(Protocol):
    """What the module of a command offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit code.

        Raises:
            UserError: something only the user can set right.
        """


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the help.

    Attributes:
        module: in `deploy.commands`.
        summary: what the command does, a few words.
        passes_on: arguments it does not know are left to it, in `arguments.rest`.
    """

    module: str
    summary: str
    passes_on: bool = False


GROUPS = {
    "Run": {
        "up": Entry("up", "a whole cluster on this machine, with its NATS server"),
        "node": Entry("node", "one node, in the foreground"),
        "coordinator": Entry("coordinator", "one coordinator, in the foreground"),
    },
    "Talk to a cluster": {
        "publish": Entry("publish", "publish to a channel"),
        "subscribe": Entry("subscribe", "print what is published to a channel"),
        "token": Entry("token", "make a connection token for a user"),
    },
    "Look after it": {
        "nodes": Entry("nodes", "who is in the cluster, and how full"),
        "drain": Entry("drain", "empty nodes at the pace the others can take"),
        "undrain": Entry("undrain", "put nodes back into rotation"),
        "rebalance": Entry("rebalance", "even out the load of the nodes"),
        "check-config": Entry("check_config", "check a config file and print what it amounts to"),
        "streams": Entry("streams", "compare history streams with a config, change them"),
        "chaos": Entry("chaos", "break a cluster on purpose and judge its promises"),
        "test": Entry("test", "run the project's tests", passes_on=True),
        "bench": Entry("bench", "measure this machine's nodes next to others", passes_on=True),
    },
}
COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}

EXAMPLES = """\
Examples:
  broadcast up                            two nodes, on ports 8000 and 8001
  broadcast subscribe news                in a second terminal
  broadcast publish news '{"hello":1}'    in a third one

`broadcast COMMAND --help` says more about each.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None takes the process's own.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in ("-h", "--help"):
        print(help_text(), end="")
        return 0
    if not argv:
        print(help_text(), end="", file=sys.stderr)
        return USAGE
    name = argv[0]
    entry = COMMANDS.get(name)
    if entry is None:
        hint = _nearest(name)
        print(f"broadcast: there is no command `{name}`{hint}; see broadcast --help", file=sys.stderr)
        return USAGE
    return _run(name, entry, argv[1:])


def help_text() -> str:
    """Every command in a line, by group, and how to begin."""
    lines = ["Usage: broadcast COMMAND ...", "", "Publish to a channel: every subscriber has it."]
    for title, entries in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<14}{entry.summary}" for name, entry in entries.items())]
    return "\n".join([*lines, "", EXAMPLES])


def _run(name: str, entry: Entry, argv: Sequence[str]) -> int:
    command = cast("Command", importlib.import_module(f"deploy.commands.{entry.module}"))
    parser = argparse.ArgumentParser(
        prog=f"broadcast {name}",
        description=entry.summary[0].upper() + entry.summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    arguments, rest = parser.parse_known_args(argv)
    arguments.rest = rest
    if rest and not entry.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return command.run(arguments)
    except UserError as error:
        print(f"broadcast {name}: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        discard_output()
        return FAILED
    except (KeyboardInterrupt, BaseExceptionGroup) as error:
        if not _is_interrupt(error):
            raise
        return INTERRUPTED


def _is_interrupt(error: BaseException) -> bool:
    """Whether this is Ctrl-C and nothing else; trio wraps what is raised inside a nursery."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(KeyboardInterrupt)[1] is None
    return True


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f", did you mean `{near[0]}`?" if near else ""


if __name__ == "__main__":
    sys.exit(main())
