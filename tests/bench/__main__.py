"""`python -m tests.bench`: what `broadcast bench` runs."""

import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.bench import (
    across,
    crowding,
    delivering,
    documents,
    feeding,
    joining,
    profiled,
    publishing,
    transporting,
)
from tests.bench.arena import Arena
from tests.bench.arguments import parse
from tests.bench.building import CannotBuild
from tests.bench.rendering import as_json, markdown
from tests.bench.subscribers import LoadError
from tests.bench.table import PEERS, Bound, Row


class Benchmark(NamedTuple):
    """What is run, and the options it has."""

    run: Callable[[Arena], list[Row]]
    takes: frozenset[str]


def _benchmark(run: Callable[[Arena], list[Row]], takes: str) -> Benchmark:
    return Benchmark(run, frozenset([*takes.split(), "rounds"]))


BENCHMARKS = {
    "fanout": _benchmark(delivering.fanout, "subscribers rate size"),
    "burst": _benchmark(delivering.burst, "subscribers rate size"),
    "connect": _benchmark(joining.connect, "subscribers"),
    "memory": _benchmark(joining.memory, "subscribers"),
    "publish": _benchmark(publishing.publish, "size"),
    "latency": _benchmark(across.latency, "rate size"),
    "crowd": _benchmark(crowding.crowd, "subscribers size"),
    "overload": _benchmark(crowding.overload, "subscribers rate size"),
    "recover": _benchmark(crowding.recover, "subscribers size"),
    "feed": _benchmark(feeding.feed, "size"),
    "scale": _benchmark(across.scale, "subscribers rate size"),
    "transports": _benchmark(transporting.transports, "subscribers rate size"),
    "neighbours": _benchmark(transporting.neighbours, "subscribers size"),
}
# What --quick runs: what has a bound, in about two minutes.
QUICK = ("fanout", "burst", "connect", "memory", "publish", "latency", "overload", "feed", "transports")
BOUNDS_FILE = Path(__file__).parent / "bounds.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run benchmarks.

    Returns:
        1 if one could not be run or something that was sent did not come, or if --quick found a figure worse
        than its committed bound, or a bound that nothing is measured for.
    """
    arguments = parse(argv, {name: benchmark.takes for name, benchmark in BENCHMARKS.items()}, QUICK)
    if arguments.list:
        for name, (run, takes) in BENCHMARKS.items():
            show(f"{name:<10} {(run.__doc__ or '').splitlines()[0]}")
            show(f"{'':<10} takes {', '.join(f'--{option}' for option in sorted(takes))}")
        return 0
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with ExitStack() as stack:
        arena = Arena(arguments.quick, say, arguments.options)
        if arguments.profile:
            arena.profiles = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="broadcast-bench-")))
        arena.build_peers()
        for name, reason in arena.missing.items():
            say(f"the {PEERS[name]} is left out: {reason}")
        rows, failed = _run_all(arena, arguments.names)
        _show_all(arena, rows, arguments.json)
        if arena.profiles:
            _show_profile(arena.profiles, arguments.profile)
    if arguments.plot:
        documents.draw(rows, about(), arguments.plot)
    if arguments.write:
        failed += _write(rows, arena.missing, failed)
    for failure in failed:
        say(failure)
    return 1 if failed else 0


def _run_all(arena: Arena, names: Sequence[str]) -> tuple[list[Row], list[str]]:
    """The rows of these benchmarks, of all where none is named, and what went wrong, in words."""
    bounds = {name: Bound(**parts) for name, parts in json.loads(BOUNDS_FILE.read_text()).items()}
    comparable = not arena.options.change_the_work and arena.profiles is None
    rows: list[Row] = []
    failed: list[str] = []
    for name in names or (QUICK if arena.quick else BENCHMARKS):
        began = time.monotonic()
        say(f"{name} ...")
        try:
            found = BENCHMARKS[name].run(arena)
            failed += [lost for row in found for lost in row.lost()]
            if arena.quick and comparable and (broken := worse_than_bounds(found, bounds)):
                say(f"{'; '.join(broken)}: once more, because a busy machine can do that once")
                found = BENCHMARKS[name].run(arena)
                failed += worse_than_bounds(found, bounds)
        except (LoadError, CannotBuild, ProcessLookupError, AssertionError) as error:
            failed.append(f"{name} could not be run: {_briefly(error)}")
            continue
        rows += found
        say(f"{name} done in {time.monotonic() - began:.0f} s")
    if not comparable:
        for row in rows:
            row.bound = Bound()
            if arena.profiles:
                row.doubts.append("the nodes were profiled meanwhile, the peers were not")
    elif arena.quick:
        say(checked(rows, bounds))
        if not names and not failed:  # what could not be run has no rows
            failed += unmeasured(rows, bounds, arena.missing)
    return rows, failed


def _briefly(error: Exception) -> str:
    """The first and the last line: some errors bring a whole log along."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ... ".join(
        dict.fromkeys((lines[0], next(line for line in reversed(lines) if line.strip(" -+|"))))
    )


def worse_than_bounds(rows: Sequence[Row], bounds: dict[str, Bound]) -> list[str]:
    """What breaks the committed bounds, which leave room for noise, in words."""
    return [broken for row in rows for broken in row.broken(bounds.get(row.name, Bound()))]


def checked(rows: Sequence[Row], bounds: dict[str, Bound]) -> str:
    """How many bounds were looked at, and which could not be."""
    measured = [(row, bounds[row.name]) for row in rows if row.name in bounds]
    left = [f"{row.name} ({part})" for row, bound in measured for part in row.unchecked(bound)]
    count = sum(len(bound.parts()) for _, bound in measured) - len(left)
    return f"{count} bounds were checked" + (f"; not checked: {', '.join(left)}" if left else "")


def unmeasured(rows: Sequence[Row], bounds: dict[str, Bound], missing: Mapping[str, str]) -> list[str]:
    """Which bounds are looked at nowhere, although no peer is missing for it, in words.

    Args:
        rows: of a whole quick run.
        bounds: the committed ones.
        missing: peers that could not be had, with the reason.
    """
    measured = {row.name: row for row in rows}
    found = []
    for name, bound in bounds.items():
        if name not in measured:
            found.append(f"{name}: has a bound, but nothing of that name is measured")
            continue
        found += [
            f"{name}: has a bound next to {PEERS[part]}, which is not measured with it"
            for part in measured[name].unchecked(bound)
            if part not in missing
        ]
    return found


def _show_all(arena: Arena, rows: Sequence[Row], as_plain_data: bool) -> None:
    if as_plain_data:
        show(json.dumps({**about(), "missing": arena.missing, "rows": as_json(rows)}, indent=1))
        return
    show(", ".join(f"{key}: {value}" for key, value in about().items()) + "\n")
    show(markdown(rows, arena.missing))


def _show_profile(folder: Path, file: Path) -> None:
    stacks = profiled.merged(folder.iterdir())
    file.write_text("".join(f"{stack} {count}\n" for stack, count in stacks.most_common()))
    for line in profiled.table(stacks):
        say(line)


def _write(rows: Sequence[Row], missing: dict[str, str], failed: Sequence[str]) -> list[str]:
    """Fill the documents, unless the run was not whole; returns why not, in words."""
    if failed:
        return ["the documents keep their figures, because this run was not whole"]
    try:
        documents.write(rows, about(), missing)
    except documents.PlaceError as error:
        return [f"the documents were not written: {error}"]
    return []


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
