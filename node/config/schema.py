"""The options as a map of dotted paths, read off the structs once. Pure."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from node.config.options import Config, Namespace

NAMESPACES = "channel.namespaces"
ENV_PREFIX = "BROADCAST_"
# How like a known name one must be for the known one to be suggested, 1 for the same; less is nonsense.
_NEAR = 0.65
# Never shown: not in error messages, not by `describe`.
SECRETS = frozenset(
    {
        "client.token.hmac_secret_key",
        "client.token.hmac_previous_secret_key",
        "http_api.key",
        "grpc_api.key",
        "broker.nats.password",
        "broker.nats.token",
        "broker.nats.url",
        "catalog.consul.token",
        "coordinator.token",
    }
)


@dataclass(frozen=True, slots=True)
class Section:
    """One struct of options.

    Attributes:
        path: its dotted path, "" for the root.
        options: name -> type of what can be set in it directly.
        sections: names of the sections inside it.
    """

    path: str
    options: dict[str, Any]
    sections: frozenset[str]

    @property
    def names(self) -> list[str]:
        """Everything that may be written in this section."""
        return [*self.options, *self.sections]


def join(section: str, name: str) -> str:
    """The dotted path of `name` in a section."""
    return f"{section}.{name}" if section else name


def is_section(kind: Any) -> bool:
    """Whether an option's type is a section of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _walk(struct: type[msgspec.Struct], path: str) -> Iterator[Section]:
    fields = msgspec.structs.fields(struct)
    inner = {field.name: field.type for field in fields if is_section(field.type)}
    yield Section(
        path=path,
        options={field.name: field.type for field in fields if field.name not in inner},
        sections=frozenset(inner),
    )
    for name, kind in inner.items():
        yield from _walk(kind, join(path, name))


SECTIONS: dict[str, Section] = {section.path: section for section in _walk(Config, "")}
NAMESPACE_SECTION = next(_walk(Namespace, f"{NAMESPACES}[]"))
OPTIONS: dict[str, Any] = {
    join(section.path, name): kind for section in SECTIONS.values() for name, kind in section.options.items()
}
ENV_NAMES: dict[str, str] = {ENV_PREFIX + path.replace(".", "_").upper(): path for path in OPTIONS}
# Of the commands that speak to a coordinator, where they run: nodes and coordinators pass them over.
COMMAND_VARIABLES = frozenset(f"{ENV_PREFIX}COORDINATOR_{name}_FILE" for name in ("CA", "CERT", "KEY"))


def unknown_key(section: Section, name: str) -> str:
    """What to tell somebody who wrote a key that `section` does not have.

    Args:
        section: where it was written.
        name: what was written.
    """
    hints = []
    if near := difflib.get_close_matches(name, section.names, n=1, cutoff=_NEAR):
        hints.append(f"did you mean `{near[0]}`?")
    places = [
        other.path or "the top level"
        for other in (*SECTIONS.values(), NAMESPACE_SECTION)
        if other.path != section.path and name in other.names
    ]
    if places:
        hints.append(f"`{name}` belongs in {' or '.join(places)}")
    if not hints:
        hints.append(f"known here: {', '.join(sorted(section.names))}")
    return "unknown key; " + "; ".join(hints)


def unknown_variable(name: str) -> str:
    """What to tell somebody who set an environment variable that is no option.

    Args:
        name: of the variable.
    """
    bare = {known.removeprefix(ENV_PREFIX): known for known in (*ENV_NAMES, *COMMAND_VARIABLES)}
    # Compared without the prefix, which would make all of them look alike.
    near = difflib.get_close_matches(name.removeprefix(ENV_PREFIX), bare, n=1, cutoff=_NEAR)
    if near:
        return f"unknown variable; did you mean {bare[near[0]]}? Rename it or unset it"
    example = f"{ENV_PREFIX}CLIENT_INSECURE for client.insecure"
    return f"unknown variable; one is named after its option's path, {example}; rename it or unset it"


def unknown_path(path: str) -> str:
    """What to tell somebody who overrode an option that does not exist.

    Args:
        path: dotted, as given.
    """
    if near := difflib.get_close_matches(path, OPTIONS, n=1, cutoff=_NEAR):
        return f"unknown option; did you mean `{near[0]}`?"
    return "unknown option; `broadcast check-config FILE` shows every one, with its path"
