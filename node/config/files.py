"""Reads a configuration file into plain mappings: YAML or JSON, strictly. It knows no options.

A key given twice is an error in both languages: whichever value won, somebody would be surprised.
Messages quote positions and never the text around them, which may hold a secret.
"""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from node.config.errors import ConfigFileError


def read_config_file(path: Path) -> dict[str, Any]:
    """The file's content; an empty file is an empty mapping.

    Args:
        path: `.json` is read as JSON, `.yaml` and `.yml` as YAML, anything else as JSON if it starts
            with `{` and as YAML otherwise.

    Raises:
        ConfigFileError: it cannot be read, is not UTF-8, does not parse, has a key twice, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigFileError(
            f"{path}: cannot be read: {error.strerror}; check the path and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    suffix = path.suffix.lower()
    is_json = suffix == ".json" or (suffix not in {".yaml", ".yml"} and text.lstrip().startswith("{"))
    content = _read_json(path, text) if is_json else _read_yaml(path, text)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigFileError(
            f"{path}: expected sections with settings, for example `client:` or "
            f'{{"client": {{...}}}}, found {type(content).__name__}'
        )
    return content


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without timestamps (no option is one) that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            line = key_node.start_mark.line + 1
            if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key `{key_node.value}` is given twice, first on line "
                    f"{seen[key_node.value]}; remove one",
                    key_node.start_mark,
                )
            seen[key_node.value] = line
        return super().construct_mapping(node, deep)


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read_yaml(path: Path, text: str) -> Any:
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader with two more restrictions
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ConfigFileError(f"{path}: {where}{_yaml_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        raise ConfigFileError(
            f"{path}: character {error.position} ({error.reason}); remove it, or write it as an "
            "escape in double quotes"
        ) from None
    except ValueError as error:
        # A scalar that looks like a number and is none, such as one with thousands of digits.
        raise ConfigFileError(f"{path}: a value cannot be read as YAML; put it in quotes") from error
    except RecursionError:
        raise ConfigFileError(f"{path}: nested too deep; settings need four levels at most") from None


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not YAML"
    # The library's words for these two quote the value, which may be an unquoted password.
    if isinstance(error, yaml.composer.ComposerError):
        if "document" in problem:
            return "a second document starts here; keep one per file"
        return "a value that starts with `*` or `&` is a YAML alias or anchor; put it in quotes"
    if isinstance(error, yaml.constructor.ConstructorError) and "tag" in problem:
        return "a value that starts with `!` is a YAML tag; put it in quotes"
    if "'\\t'" in problem:
        return "a tab; YAML wants spaces here"
    return problem


def _read_json(path: Path, text: str) -> Any:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ConfigFileError(f"{path}: the key `{twice}` is given twice in one object; remove one")
        return mapping

    def no_constant(name: str) -> NoReturn:
        raise ConfigFileError(f"{path}: {name} is not JSON; write a number")

    try:
        return json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise ConfigFileError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise ConfigFileError(f"{path}: a number has too many digits; shorten it") from error
    except RecursionError:
        raise ConfigFileError(f"{path}: nested too deep; settings need four levels at most") from None
