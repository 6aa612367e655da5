"""`broadcast bench`: the project's benchmarks, for people with a checkout."""

import argparse
import os
import sys
from pathlib import Path

from deploy.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage = "broadcast bench [NAME ...] [--quick] [--json] [--svg FILE] [--list]"
    parser.epilog = (
        "Without a name, every benchmark runs: about ten minutes on an idle machine.\n"
        "  --quick      a minute; exit code 1 if something is slower than tests/bench/bounds.json allows\n"
        "  --json       print JSON instead of a table\n"
        "  --svg FILE   draw the table's bars\n"
        "  --list       say which benchmarks there are\n"
        "Next to a node run a C program that only sends, and a server on the Go library centrifuge;\n"
        "without cc or go on the PATH their columns stay empty."
    )


def run(arguments: argparse.Namespace) -> int:
    """Become the benchmarks, so that signals and their exit code pass as they are."""
    if not (ROOT / "tests" / "bench").is_dir():
        raise UserError(f"there are no benchmarks in {ROOT}: run this from a checkout of the project")
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "tests.bench", *arguments.rest])  # noqa: S606 - the purpose
