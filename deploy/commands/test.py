"""`broadcast test`: the project's tests in this environment."""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from deploy.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--quick", action="store_true", help="leave out the tests marked slow")
    parser.usage = "broadcast test [--quick] [PYTEST ARGUMENTS ...]"
    parser.epilog = (
        "Everything else goes to pytest, with paths relative to the project:\n"
        "  broadcast test --quick tests/deploy -k launcher"
    )


def run(arguments: argparse.Namespace) -> int:
    """Become pytest, so that signals and its exit code pass as they are."""
    if not (ROOT / "tests").is_dir():
        raise UserError(f"there are no tests in {ROOT}: run this from a checkout of the project")
    if importlib.util.find_spec("pytest") is None:
        raise UserError("pytest is not installed here: run it through the launcher, ./broadcast test")
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, *pytest_arguments(arguments)])  # noqa: S606 - the purpose


def pytest_arguments(arguments: argparse.Namespace) -> list[str]:
    """What Python is given: pytest, our choice of tests, then the user's own words."""
    quick = ["-m", "not slow"] if arguments.quick else []
    return ["-m", "pytest", *quick, *arguments.rest]
