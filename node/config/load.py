"""Makes a Config from a file, the environment and the command line, or says everything that is wrong.

Later layers win: defaults, file, environment (`BROADCAST_CLIENT_INSECURE=true`), overrides. Options are
checked one by one and then against each other (`relations`); a namespace list is one option and is
replaced whole.
"""

import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from node.config.catalog_relations import broken_catalog
from node.config.errors import InvalidConfig, Problem
from node.config.files import read_config_file
from node.config.options import Config, Namespace
from node.config.relations import broken
from node.config.schema import (
    COMMAND_VARIABLES,
    ENV_NAMES,
    ENV_PREFIX,
    NAMESPACE_SECTION,
    NAMESPACES,
    OPTIONS,
    SECRETS,
    SECTIONS,
    Section,
    is_section,
    join,
    unknown_key,
    unknown_path,
    unknown_variable,
)
from node.config.service_links import is_service_link
from node.config.values import WrongType, convert, convert_text, show

_NOTHING: Mapping[str, object] = types.MappingProxyType({})
_NAMESPACES_EXPECTED = 'expected a list of namespaces, for example [{"name": "news", "history_size": 100}]'


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] = _NOTHING) -> Config:
    """Read, merge and check every setting.

    Args:
        path: a YAML or JSON file; None for none.
        environ: the process's environment; only names that start with `BROADCAST_` are looked at.
        overrides: dotted path -> value, or text as on a command line; None stands for "not given".

    Raises:
        ConfigFileError: the file as a whole is unusable.
        InvalidConfig: with every problem of every layer.
    """
    settings = _Settings()
    if path is not None:
        settings.read_section(read_config_file(path), SECTIONS[""], str(path))
    settings.read_environment(environ)
    settings.read_overrides(overrides)
    config: Config = settings.build(Config, "")
    settings.check(config)
    if settings.problems:
        raise InvalidConfig(settings.problems)
    return config


class _Settings:
    """What the layers said so far, and what was wrong with it."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.sources: dict[str, str] = {}
        self.problems: list[Problem] = []

    def read_section(self, content: Mapping[Any, object], section: Section, source: str) -> None:
        for name, value in content.items():
            path = join(section.path, str(name))
            if name in section.options:
                self.set(path, value, source)
            elif name not in section.sections:
                self.problems.append(Problem(source, path, unknown_key(section, str(name))))
            elif isinstance(value, dict):
                self.read_section(value, SECTIONS[path], source)
            elif value is not None:
                # A section whose lines are all commented out reads as null and is empty.
                text = f"expected a section with {', '.join(SECTIONS[path].names)}; found {show(value)}"
                self.problems.append(Problem(source, path, text))

    def read_environment(self, environ: Mapping[str, str]) -> None:
        for name, text in environ.items():
            if not name.startswith(ENV_PREFIX):
                continue
            if name in ENV_NAMES:
                self.set(ENV_NAMES[name], text, name, is_text=True)
            elif name not in COMMAND_VARIABLES and not is_service_link(name, text):
                self.problems.append(Problem(name, "", unknown_variable(name)))

    def read_overrides(self, overrides: Mapping[str, object]) -> None:
        for path, value in overrides.items():
            if path not in OPTIONS:
                self.problems.append(Problem("command line", path, unknown_path(path)))
            elif value is not None:
                self.set(path, value, "command line", is_text=isinstance(value, str))

    def set(self, path: str, value: object, source: str, *, is_text: bool = False) -> None:
        self.sources[path] = source
        if path == NAMESPACES:
            self.values[path] = tuple(self._namespaces(value, source, is_text=is_text))
            return
        try:
            self.values[path] = (
                convert_text(str(value), OPTIONS[path]) if is_text else convert(value, OPTIONS[path])
            )
        except WrongType as wrong:
            self._wrong(path, value, wrong, source, path in SECRETS)

    def _wrong(self, path: str, value: object, wrong: WrongType, source: str, hidden: bool = False) -> None:
        found = value
        if wrong.index is not None and isinstance(value, list | tuple):
            path, found = f"{path}[{wrong.index}]", value[wrong.index]
        # A secret is not quoted in an error, which ends in a log.
        text = f"expected {wrong.expected}" + ("" if hidden else f"; found {show(found)}")
        self.problems.append(Problem(source, path, text))

    def _namespaces(self, value: object, source: str, *, is_text: bool) -> Iterator[Namespace]:
        if is_text:
            try:
                value = json.loads(str(value))
            except (ValueError, RecursionError):
                self.problems.append(Problem(source, NAMESPACES, f"{_NAMESPACES_EXPECTED}, as JSON"))
                return
        if not isinstance(value, list | tuple):
            self.problems.append(Problem(source, NAMESPACES, f"{_NAMESPACES_EXPECTED}; found {show(value)}"))
            return
        for index, item in enumerate(value):
            path = f"{NAMESPACES}[{index}]"
            if isinstance(item, Namespace):
                yield item
            elif isinstance(item, dict):
                yield self._namespace(item, path, source)
            else:
                text = f'expected a namespace, for example {{"name": "news"}}; found {show(item)}'
                self.problems.append(Problem(source, path, text))

    def _namespace(self, item: dict[Any, object], path: str, source: str) -> Namespace:
        values: dict[str, Any] = {"name": ""}
        if "name" not in item:
            self.problems.append(
                Problem(source, join(path, "name"), 'is missing; add it, for example "news"')
            )
        for name, value in item.items():
            inner = join(path, str(name))
            if name not in NAMESPACE_SECTION.options:
                self.problems.append(Problem(source, inner, unknown_key(NAMESPACE_SECTION, str(name))))
                continue
            try:
                values[name] = convert(value, NAMESPACE_SECTION.options[name])
            except WrongType as wrong:
                self._wrong(inner, value, wrong, source)
        return Namespace(**values)

    def build(self, struct: type[msgspec.Struct], path: str) -> Any:
        given: dict[str, Any] = {}
        for field in msgspec.structs.fields(struct):
            inner = join(path, field.name)
            if is_section(field.type):
                given[field.name] = self.build(field.type, inner)
            elif inner in self.values:
                given[field.name] = self.values[inner]
        return struct(**given)

    def check(self, config: Config) -> None:
        """Add what does not hold between options, unless one of them is wrong by itself."""
        wrong = {problem.path for problem in self.problems}
        for paths, text in (*broken(config), *broken_catalog(config)):
            if any(path == bad or path.startswith(f"{bad}[") for path in paths for bad in wrong):
                continue
            sources = dict.fromkeys(filter(None, map(self._source, paths)))
            self.problems.append(Problem(", ".join(sources) or "defaults", paths[0], text))

    def _source(self, path: str) -> str | None:
        return self.sources.get(path.partition("[")[0])
