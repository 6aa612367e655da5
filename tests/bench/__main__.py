"""`python -m tests.bench`: what `broadcast bench` runs."""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import across, crowding, delivering, feeding, joining, publishing
from tests.bench.arena import Arena
from tests.bench.plot import svg
from tests.bench.subscribers import LoadError
from tests.bench.table import Bound, Row, as_json, markdown

BENCHMARKS: dict[str, Callable[[Arena], list[Row]]] = {
    "fanout": delivering.fanout,
    "burst": delivering.burst,
    "connect": joining.connect,
    "memory": joining.memory,
    "publish": publishing.publish,
    "latency": across.latency,
    "crowd": crowding.crowd,
    "recover": crowding.recover,
    "feed": feeding.feed,
    "scale": across.scale,
}
# What --quick runs: what has a bound, in less than a minute.
QUICK = ("fanout", "burst", "connect", "memory", "publish", "latency")
BOUNDS_FILE = Path(__file__).parent / "bounds.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run benchmarks; 1 if one could not be run, or if --quick found one worse than its committed bound."""
    arguments = _arguments(argv)
    if arguments.list:
        for name, run in BENCHMARKS.items():
            show(f"{name:<9} {(run.__doc__ or '').splitlines()[0]}")
        return 0
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    arena = Arena(arguments.quick, say)
    arena.build_peers()
    rows: list[Row] = []
    failed = []
    for name in arguments.names or (QUICK if arguments.quick else BENCHMARKS):
        began = time.monotonic()
        say(f"{name} ...")
        try:
            rows += BENCHMARKS[name](arena)
        except (LoadError, ProcessLookupError, AssertionError) as error:
            failed.append(f"{name} could not be run: {error}")
        say(f"{name} done in {time.monotonic() - began:.0f} s")
    if arguments.quick:
        failed += worse_than_bounds(rows)
    if arguments.json:
        show(json.dumps({**about(), "missing": arena.missing, "rows": as_json(rows)}, indent=1))
    else:
        show(", ".join(f"{key}: {value}" for key, value in about().items()) + "\n")
        show(markdown(rows, arena.missing))
    if arguments.svg:
        arguments.svg.write_text(svg(rows, ", ".join(about().values())))
    for failure in failed:
        say(failure)
    return 1 if failed else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="broadcast bench", description="Measure, next to peers.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="which benchmarks; see --list")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--quick", action="store_true", help="a minute; exit 1 if a committed bound is broken"
    )
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw the table's bars")
    parser.add_argument("--list", action="store_true", help="say which benchmarks there are")
    arguments = parser.parse_args(argv)
    for name in arguments.names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark `{name}`; choose from {', '.join(BENCHMARKS)}")
    return arguments


def worse_than_bounds(rows: Sequence[Row]) -> list[str]:
    """What breaks the committed bounds, which leave room for noise, in words."""
    bounds = json.loads(BOUNDS_FILE.read_text())
    return [broken for row in rows for broken in row.broken(Bound(**bounds.get(row.name, {})))]


def about() -> dict[str, str]:
    """The machine and the day, without which no figure means anything."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processors": f"{os.cpu_count()} x {model}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def say(text: str) -> None:
    """One line for the person who waits; standard output belongs to the table."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def show(text: str) -> None:
    """A part of the result."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
