"""How commands take a config: `--config FILE`, `--set PATH=VALUE`, the environment; errors in plain words."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from deploy.errors import UserError
from node.config.errors import ConfigError
from node.config.load import load
from node.config.options import Config


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--config` and `--set`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML or JSON (default: none)")
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        dest="settings",
        metavar="PATH=VALUE",
        help="one setting, over the file and the environment: --set log.level=debug; may be repeated",
    )


def read_config(path: Path | None, overrides: Mapping[str, object] | None = None) -> Config:
    """The settings of a file, the environment and `overrides`, in this order.

    Args:
        path: the file, None for none.
        overrides: dotted path to value; None stands for "not given".

    Raises:
        UserError: with everything that is wrong with them.
    """
    try:
        return load(path, os.environ, overrides or {})
    except ConfigError as error:
        raise UserError(f"the configuration cannot be used:\n{_indented(str(error))}") from error


def overrides(arguments: argparse.Namespace, options: Mapping[str, object]) -> dict[str, object]:
    """What the command line says: `--set`, then the options of the command that were given.

    Args:
        arguments: parsed; see `add_config_arguments`.
        options: dotted path to value; None where the option was not given.
    """
    given = {path: value for path, value in options.items() if value is not None}
    return {**dict(arguments.settings), **given}


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _setting(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise argparse.ArgumentTypeError(f"expected PATH=VALUE, for example log.level=debug; found `{text}`")
    return path, value
