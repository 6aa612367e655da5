"""`broadcast bench`: the project's benchmarks, for people with a checkout."""

import argparse
import os
import sys
from pathlib import Path

from deploy.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage = "broadcast bench [NAME ...] [--quick] [--json] [--plot DIR] [--write] [--profile FILE] ..."
    parser.epilog = (
        "Without a name, every benchmark runs: about a quarter of an hour on an idle machine.\n"
        "  --list            say which benchmarks there are, and which of these options each takes:\n"
        "  --subscribers N, --rate N, --size BYTES, --rounds N\n"
        "  --quick           a minute and a half; exit code 1 if something is slower than\n"
        "                    tests/bench/bounds.json allows\n"
        "  --json            print JSON instead of tables\n"
        "  --plot DIR        draw the figures, as SVG files in DIR\n"
        "  --write           put the tables and pictures of a whole run into README and ARCHITECTURE\n"
        "  --profile FILE    sample what the nodes do: a table, and stacks for a flame graph in FILE\n"
        "Next to a node run a C program that only sends, a server on the Go library centrifuge, and what\n"
        "trio-websocket and hypercorn do by themselves; without cc or go on the PATH theirs are left out."
    )


def run(arguments: argparse.Namespace) -> int:
    """Become the benchmarks, so that signals and their exit code pass as they are."""
    if not (ROOT / "tests" / "bench").is_dir():
        raise UserError(f"there are no benchmarks in {ROOT}: run this from a checkout of the project")
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "tests.bench", *arguments.rest])  # noqa: S606 - the purpose
