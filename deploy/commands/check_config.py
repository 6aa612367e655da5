"""`broadcast check-config`: what a config amounts to, and what is wrong or risky in it."""

import argparse
import json
import sys
from pathlib import Path

from deploy.configs import read_config
from node.config.cautions import warnings
from node.config.describe import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="YAML or JSON")
    parser.add_argument("--json", action="store_true", help='print {"settings": ..., "warnings": [...]}')
    parser.epilog = "BROADCAST_... variables of the environment count as they would for a node."


def run(arguments: argparse.Namespace) -> int:
    """Print the settings in force on stdout and the warnings on stderr."""
    config = read_config(arguments.file)
    settings, cautions = describe(config), warnings(config)
    if arguments.json:
        import yaml

        print(json.dumps({"settings": yaml.safe_load(settings), "warnings": list(cautions)}))
        return 0
    print(settings, end="")
    for warning in cautions:
        print(f"warning: {warning}", file=sys.stderr)
    return 0
