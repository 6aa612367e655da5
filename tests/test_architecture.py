"""The rules of the house, as tests: who may import whom, how long things are, what is not done here.

Each rule is a table or a few lines; its failure says what to do instead. Standard library only.
"""

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("node", "coordinator", "chaos", "protos", "deploy")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# What of the project a package may import; the longest matching name on the left decides. A name on the
# right allows itself and all below it. Imports go the way of a message and never back.
MAY_IMPORT = {
    "protos": ("protos",),
    "node": ("node", "protos"),
    "node.protocol": ("node.protocol", "protos"),
    "node.config": ("node.config",),
    "node.telemetry": ("node.telemetry", "node.config", "node.protocol"),
    "node.access": ("node.access", "node.config", "node.protocol"),
    "node.broker": ("node.broker", "node.config", "node.protocol"),
    # What a node tells of itself, and is told; it knows none of the parts it tells of.
    "node.catalog": ("node.catalog", "node.broker.interface", "node.broker.nats", "node.config", "protos"),
    "node.emulation": ("node.broker.interface",),
    "node.outbox": (),
    "node.hub": ("node.broker.interface", "node.outbox", "node.protocol", "node.telemetry.metrics"),
    "node.history": (
        "node.history",
        "node.broker.interface",
        "node.config",
        "node.hub",
        "node.protocol",
        "node.telemetry.metrics",
    ),
    "node.api": (
        "node.api",
        "node.access",
        "node.broker.interface",
        "node.members",
        "node.protocol",
        "node.telemetry.metrics",
    ),
    # A session calls what is behind it; whose connection it is it does not know.
    "node.session": (
        "node.access",
        "node.api.publisher",
        "node.config",
        "node.emulation",
        "node.history.channels",
        "node.hub",
        "node.outbox",
        "node.protocol",
        "node.sessions",
        "node.telemetry.metrics",
        "node.timers",
    ),
    "node.transports": (
        "node.transports",
        "node.commands",
        "node.config",
        "node.edge",
        "node.emulation",
        "node.hub",
        "node.outbox",
        "node.protocol",
        "node.session",
    ),
    "node.edge": (
        "node.edge",
        "node.access",
        "node.broker.interface",
        "node.protocol",
        "node.session",
        "protos",
    ),
    "node.grpc": (
        "node.grpc",
        "node.access",
        "node.api",
        "node.broker.interface",
        "node.config",
        "node.edge",
        "node.entrance",
        "node.hub",
        "node.protocol",
        "node.readiness",
        "node.session",
        "node.transports.serving",
        "protos",
    ),
    "node.door": (
        "node.door",
        "node.access.api_key",
        "node.api",
        "node.config",
        "node.open_files",
        "node.pages",
        "node.telemetry.metrics",
        "node.timers",
        "node.transports.websocket_frames",
    ),
    "coordinator": ("coordinator", "protos"),
    "coordinator.catalog": ("coordinator.catalog", "protos"),
    "chaos": ("chaos", "protos"),  # the judge is independent of what it judges
    "deploy": ("deploy", "node", "coordinator", "chaos", "protos"),
}

# Modules from outside that a package may not import, and why.
MAY_NOT_IMPORT = {
    "node.protocol": (
        ("trio", "asyncio", "socket", "ssl", "time", "datetime", "random", "secrets", "logging", "structlog"),
        "the protocol core is sans-I/O: what it needs of clock, chance and network are arguments",
    ),
    "node.config": (("trio", "structlog", "logging"), "settings are plain data: return what is to be said"),
    "node": (
        ("logging", "threading", "asyncio", "trio_asyncio", "nats"),
        "use structlog.get_logger(__name__), trio, and node.broker.nats for NATS",
    ),
    "coordinator": (
        ("logging", "threading", "asyncio", "trio_asyncio", "nats"),
        "use structlog.get_logger(__name__) and trio; what needs asyncio is behind one module",
    ),
    "deploy": (("asyncio",), "use trio"),
}
EXCEPTIONS = {
    # nats-py and what it needs: one module speaks to it, the others hand it questions.
    "coordinator.catalog.nats_bucket": ("nats",),
    "coordinator.catalog.nats_link": ("asyncio", "trio_asyncio", "nats"),
    "coordinator.catalog.nats_kv": ("trio_asyncio", "nats"),
    "coordinator.grpc_api": ("asyncio", "trio_asyncio"),
    "node.telemetry": ("logging",),  # sets up what libraries log
    "node.grpc.loop": ("asyncio",),  # grpc.aio needs its loop: one module bridges the two
}

# Calls that are not made, where, and what to do instead.
BANNED_CALLS = (
    ("node", "print", "log it with structlog, or return it"),
    ("coordinator", "print", "log it with structlog, or return it"),
    (
        "node",
        "trio.open_memory_channel(math.inf)",
        "give it a bound, and decide what happens when it is full",
    ),
    ("node", "structlog.configure", "node/telemetry sets up logging"),
    ("coordinator", "time.time", "the time of day jumps: use trio.current_time, or an argument"),
    ("node/catalog", "time.time", "the time of day jumps: use trio.current_time, or an argument"),
    ("node", "time.sleep", "await trio.sleep: this stops every client of the node"),
    ("node", "socket.create_connection", "await trio.open_tcp_stream: this stops every client of the node"),
    ("deploy", "trio.open_process", "use deploy.processes.Child: it dies with its parent"),
    ("deploy", "trio.run_process", "use deploy.processes.Child: it dies with its parent"),
    ("tests", "time.sleep", "wait for what you wait for: an event, a line, a descriptor"),
)
MAY_CALL = {
    "node.telemetry": "structlog.configure",
    "tests.node.telemetry.test_metrics": "time.sleep",  # holds the loop up on purpose, to see it measured
}

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "stuff"}
LEFTOVERS = re.compile(r"\b(FI[X]ME|TO[D]O|XX[X]|HA[C]K)\b")
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/~}#!])/(home|root|work|tmp|usr|opt|var|Users)/\w")
# Programs that are started, and what experiments name in their files.
ENTRY_POINTS = {
    "deploy.cli",
    *(f"deploy.commands.{entry.module}" for entry in COMMANDS.values()),
    "chaos.workload.__main__",
    "chaos.providers",
    "chaos.control",
    "deploy.helm.broadcast-cluster.files.two_nodes",  # mounted into the pod of `helm test`
}


class Module(NamedTuple):
    """One Python file of ours."""

    name: str
    path: Path
    tree: ast.Module

    def within(self, package: str) -> bool:
        return self.name == package or self.name.startswith(f"{package}.")

    def at(self, node: ast.stmt | ast.expr) -> str:
        return f"{self.path.relative_to(ROOT)}:{node.lineno}"


@functools.cache
def modules(*folders: str) -> tuple[Module, ...]:
    return tuple(
        Module(name_of(path), path, ast.parse(path.read_text()))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "_pb2" not in path.name and "node_modules" not in path.parts
    )


def source_files() -> Iterator[Path]:
    yield from (module.path for module in modules(*PACKAGES, "tests"))
    yield from (ROOT / "broadcast", ROOT / ".ci" / "run")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """Every import of a module as a dotted name; `from a import b` is `a.b`, whether b is a module or not."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.at(node)}: write the whole name of the package"
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def rule_for(module: Module) -> str:
    return max((package for package in MAY_IMPORT if module.within(package)), key=len)


def check(problems: Iterator[str]) -> None:
    found = list(problems)
    assert not found, "\n" + "\n".join(found)


def test_imports_go_one_way() -> None:
    """A package imports only what the table allows, so that each can be read without what is above."""

    def problems() -> Iterator[str]:
        for module in modules(*PACKAGES):
            rule = rule_for(module)
            for node, name in imports(module):
                ours = name.split(".")[0] in PACKAGES
                if ours and not any(covers(allowed, name) for allowed in MAY_IMPORT[rule]):
                    allowed = ", ".join(MAY_IMPORT[rule]) or "nothing of the project"
                    yield f"{module.at(node)}: {rule} may import {allowed}; not {name}"
                if name.split(".")[0] == "tests":
                    yield f"{module.at(node)}: nothing imports tests"

    check(problems())


def test_packages_keep_away_from_what_they_must_not_know() -> None:
    """No clock, socket, chance or log in the protocol core; one way to log; one kind of concurrency."""

    def problems() -> Iterator[str]:
        for package, (banned, why) in MAY_NOT_IMPORT.items():
            for module in modules(package.split(".")[0]):
                excused = [name for at, names in EXCEPTIONS.items() if module.within(at) for name in names]
                for node, name in imports(module) if module.within(package) else ():
                    if name.split(".")[0] in set(banned) - set(excused):
                        yield f"{module.at(node)}: {package} may not import {name}: {why}"

    check(problems())


def test_every_third_party_import_is_a_declared_dependency() -> None:
    """What the packages import is among the dependencies; what `deploy` does may be in its extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    imported_as = {
        "nats-py": "nats",
        "prometheus-client": "prometheus_client",
        "protobuf": "google",
        "grpcio": "grpc",
        "grpcio-health-checking": "grpc_health",
        "grpcio-reflection": "grpc_reflection",
        "py-consul": "consul",
        "pyjwt": "jwt",
        "pyyaml": "yaml",
        "trio-asyncio": "trio_asyncio",
        "trio-websocket": "trio_websocket",
    }

    def declared(requirements: list[str]) -> set[str]:
        names = {re.split(r"[^A-Za-z0-9_-]", requirement)[0] for requirement in requirements}
        return {imported_as.get(name, name) for name in names}

    plain = declared(project["dependencies"])
    local = plain | declared(project["optional-dependencies"]["local"])

    def problems() -> Iterator[str]:
        for module in modules(*PACKAGES):
            known = local if module.within("deploy") else plain
            for node, name in imports(module):
                top = name.split(".")[0]
                if top not in {*PACKAGES, *known, *sys.stdlib_module_names}:
                    yield f"{module.at(node)}: add {top} to the dependencies in pyproject.toml, or do without"

    check(problems())


def test_every_module_is_used() -> None:
    """A module that only tests import is dead: use it or remove it, its tests with it."""
    used = {name for module in modules(*PACKAGES) for _, name in imports(module)}
    used |= {name.rpartition(".")[0] for name in used} | ENTRY_POINTS
    check(
        f"{module.name}: nothing imports it; use it or remove it"
        for module in modules(*PACKAGES)
        if module.name not in used and module.path.name != "__init__.py"
    )


def test_files_are_short() -> None:
    """A file is read in one sitting: two subjects become two files."""
    globs = [f"{package}/**/*.{kind}" for package in PACKAGES for kind in ("html", "css", "js")]
    pages = [path for glob in globs for path in ROOT.glob(glob)]
    counts = {path: len(path.read_text().splitlines()) for path in (*source_files(), *pages)}
    check(
        f"{path.relative_to(ROOT)}: {count} lines, {FILE_LINES_MAX} at most; split it by subject"
        for path, count in counts.items()
        if count > FILE_LINES_MAX
    )


def test_functions_are_short() -> None:
    """A function fits on a screen: its steps become functions with names."""

    def lines_of_code(module: Module, function: ast.AST) -> int:
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        text = module.path.read_text().splitlines()[function.lineno - 1 : function.end_lineno]
        doc = len((ast.get_docstring(function, clean=False) or "").splitlines())
        return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text) - doc

    check(
        f"{module.at(function)}: {function.name} has {count} lines of code, {FUNCTION_LINES_MAX} at most"
        for module in modules(*PACKAGES, "tests")
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := lines_of_code(module, function)) > FUNCTION_LINES_MAX
    )


def test_banned_calls_are_not_made() -> None:
    """Each has a better way here, and the failure names it."""

    def problems() -> Iterator[str]:
        for folder, call, instead in BANNED_CALLS:
            for module in modules(folder):
                if any(module.within(at) and call == allowed for at, allowed in MAY_CALL.items()):
                    continue
                for node in ast.walk(module.tree):
                    if isinstance(node, ast.Call) and call in (ast.unparse(node.func), ast.unparse(node)):
                        yield f"{module.at(node)}: {call} is not used here: {instead}"

    check(problems())


def test_every_test_says_what_it_keeps() -> None:
    """The docstring of a test names the promise that breaks with it."""
    check(
        f"{module.at(function)}: {function.name} has no docstring; say in a sentence which promise it keeps"
        for module in modules("tests")
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name.startswith("test_")
        and not ast.get_docstring(function)
        and module.path.name.startswith("test_")
    )


def test_names_say_what_is_inside() -> None:
    """A file called after no subject collects everything."""
    check(
        f"{module.path.relative_to(ROOT)}: name it after what it is about"
        for module in modules(*PACKAGES, "tests")
        if module.path.stem in VAGUE_NAMES
    )


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        (LEFTOVERS, "do it, or write it down where work is planned"),
        (ABSOLUTE_PATH, "find it on the PATH, beside the file, or in a temporary directory"),
    ],
    ids=["leftovers", "absolute paths"],
)
def test_text_is_finished_and_of_no_machine(pattern: re.Pattern[str], advice: str) -> None:
    """No reminders are left in the text, and nothing of one machine."""
    check(
        f"{path.relative_to(ROOT)}:{number}: `{found[0]}`: {advice}"
        for path in source_files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := pattern.search(line)) and "#!/" not in line
    )
