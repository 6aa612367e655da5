"""The command line of the benchmarks: what can be asked for, and what cannot be asked for together."""

import argparse
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.options import FILES_BESIDE, OptionError, Options


def parse(
    argv: Sequence[str] | None, takes: Mapping[str, frozenset[str]], quick: Sequence[str]
) -> argparse.Namespace:
    """The arguments, with `options` beside them; says what is wrong with them and exits if something is.

    Args:
        argv: the arguments; None takes the process's own.
        takes: for each benchmark there is, the options it has.
        quick: which of them --quick runs.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    for name in arguments.names:
        if name not in takes:
            parser.error(f"there is no benchmark `{name}`; choose from {', '.join(takes)}")
    arguments.options = Options(arguments.subscribers, arguments.rate, arguments.size, arguments.rounds)
    names = arguments.names or (list(quick) if arguments.quick else list(takes))
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        arguments.options.check(names, takes, files - FILES_BESIDE)
    except OptionError as error:
        parser.error(str(error))
    if arguments.write and (arguments.names or arguments.quick or arguments.options.given()):
        parser.error("--write takes a whole run: no NAME, no --quick, and the benchmarks' own numbers")
    if arguments.profile and (arguments.write or not arguments.names):
        parser.error("--profile takes the names of benchmarks, and no --write: sampling costs something")
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="broadcast bench", description="Measure, next to peers.")
    add = parser.add_argument
    add("names", metavar="NAME", nargs="*", help="which benchmarks; see --list")
    add("--list", action="store_true", help="say which benchmarks there are, and which options they take")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--quick", action="store_true", help="two minutes; exit 1 if a committed bound is broken")
    add("--subscribers", metavar="N", type=int, help="so many clients")
    add("--rate", metavar="N", type=float, help="so many publications per second")
    add("--size", metavar="BYTES", type=int, help="of a publication's data")
    add("--rounds", metavar="N", type=int, help="so many, after the warm-up")
    add("--plot", metavar="DIR", type=Path, help="draw the figures, as SVG files in DIR")
    add("--write", action="store_true", help="a whole run, tables and pictures into README and ARCHITECTURE")
    add("--profile", metavar="FILE", type=Path, help="sample what nodes do: stacks for a flame graph")
    return parser
