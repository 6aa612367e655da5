"""Makes the chart's README table and values.schema.json, from values.yaml with its comments and the options.

`python -m tests.deploy.helm.generated` writes both; a test says when they are not current.
"""

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from node.config.durations import Duration
from node.config.schema import (
    COMMAND_VARIABLES,
    ENV_NAMES,
    NAMESPACE_SECTION,
    NAMESPACES,
    SECTIONS,
    Section,
    join,
)
from tests.deploy.helm.engine import CHART

# With which NATS servers know each other; no option of the program.
ROUTES_PASSWORD = "NATS_ROUTES_PASSWORD"
BEGIN, END = "<!-- values:begin -->", "<!-- values:end -->"
# What is handed to Kubernetes as it is, and so described there.
_FREE = frozenset(
    {
        "affinity",
        "annotations",
        "commonLabels",
        "containerSecurityContext",
        "labels",
        "nodeSelector",
        "podAnnotations",
        "podLabels",
        "podSecurityContext",
        "resources",
        "tls",
    }
)
_WHOLE_OR_NULL = {"type": ["integer", "null"], "minimum": 1}
_COUNT_OR_PERCENT = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,3}%$"}]
}
# By the name of the key, where its default does not say what else it may be.
_BY_NAME: dict[str, dict[str, Any]] = {
    "terminationGracePeriodSeconds": _WHOLE_OR_NULL,
    "progressDeadlineSeconds": _WHOLE_OR_NULL,
    "periodSeconds": _WHOLE_OR_NULL,
    "maxSurge": _COUNT_OR_PERCENT,
    "maxUnavailable": _COUNT_OR_PERCENT,
    "minAvailable": {"anyOf": [*_COUNT_OR_PERCENT["anyOf"], {"type": "null"}]},
    "replicas": {"type": "integer", "minimum": 1},
    "minReplicas": {"type": "integer", "minimum": 1},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "externalTrafficPolicy": {"enum": ["", "Cluster", "Local"]},
    "extraEnv": {"type": "array", "items": {"$ref": "#/$defs/variable"}},
    "paths": {"type": "array", "items": {"type": "string", "pattern": "^/."}},
    "hosts": {"type": "array", "items": {"type": "string"}},
}
_BY_PATH: dict[str, dict[str, Any]] = {
    "service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "service.grpc.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "nats.sites.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "nodes.autoscaling.cpu": {"type": "string", "pattern": "^([1-9][0-9]*m)?$"},
    # These stand in subjects.
    "nats.domain": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
    "nats.gateway.name": {"type": "string", "pattern": "^[A-Za-z0-9_-]*$"},
    # An even number of servers bears no more losses than the odd one below it.
    "nats.replicas": {"enum": [1, 3, 5]},
    # nats-server takes no less.
    "nats.lameDuckSeconds": {"type": "integer", "minimum": 30},
    "nats.terminationGracePeriodSeconds": {"type": "integer", "minimum": 45},
    "coordinator.terminationGracePeriodSeconds": {"type": "integer", "minimum": 10},
    "consul.url": {"type": "string", "pattern": "^(https?://.+)?$"},
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    # Listed and not a pattern, so that Helm names the one that is wrong and not all the others.
    "secret.values": {
        "type": "object",
        "additionalProperties": False,
        # Strings alone: of a number that is not quoted Helm makes 1.2345678e+07.
        "properties": {name: {"type": "string"} for name in sorted({*ENV_NAMES, ROUTES_PASSWORD})},
    },
}


def schema(values: dict[str, Any]) -> dict[str, Any]:
    """The whole JSON schema of the chart's values."""
    properties = {key: _of(value, key) for key, value in values.items() if key != "config"}
    properties["config"] = _section(SECTIONS[""])
    grpc = {**properties["nodes"]["properties"], **properties["grpcNodes"]["properties"]}
    grpc["autoscaling"] = properties["nodes"]["properties"]["autoscaling"]
    properties["grpcNodes"]["properties"] = grpc
    properties["global"] = {"type": "object"}  # Helm puts it there when this is a part of another chart
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": {
            "option": {"enum": sorted({*ENV_NAMES, *COMMAND_VARIABLES})},
            "variable": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"anyOf": [{"not": {"pattern": "^BROADCAST_"}}, {"$ref": "#/$defs/option"}]}
                },
            },
        },
    }


def _of(value: object, path: str) -> dict[str, Any]:
    name = path.rpartition(".")[2]
    if path in _BY_PATH:
        return _BY_PATH[path]
    if name in _BY_NAME:
        return _BY_NAME[name]
    if isinstance(value, dict):
        if name in _FREE:
            return {"type": "object"}
        inner = {key: _of(each, f"{path}.{key}") for key, each in value.items()}
        return {"type": "object", "additionalProperties": False, "properties": inner}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    return {"type": "array" if isinstance(value, list) else "string"}


def _section(section: Section) -> dict[str, Any]:
    properties = {name: _option(kind) for name, kind in section.options.items()}
    for name in sorted(section.sections):
        properties[name] = _section(SECTIONS[join(section.path, name)])
    if f"{section.path}.namespaces" == NAMESPACES:
        properties["namespaces"] = {"type": "array", "items": _section(NAMESPACE_SECTION)}
    # An empty section is refused, and not taken for one without options: templates look into it.
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _option(kind: Any) -> dict[str, Any]:
    if kind is Duration:
        return {"type": ["string", "number"]}
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is tuple:
        return {"type": "array"}
    return {"type": {bool: "boolean", int: "integer", float: "number", str: "string"}[kind]}


def table(text: str) -> str:
    """What each value is for, as a table, from the comments of values.yaml.

    Args:
        text: of values.yaml.
    """
    rows = ["| value | default | meaning |", "|---|---|---|"]
    open_keys: list[tuple[int, str]] = []
    comment: list[str] = []
    hidden_below = -1
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            words = bare.lstrip("# ")
            if words.startswith("-- "):
                comment = [words.removeprefix("-- ")]
            elif comment:
                comment.append(words)
            continue
        found = re.fullmatch(r"( *)([A-Za-z0-9_./-]+):(?: (.*))?", line)
        if not found:
            comment = []
            continue
        depth, key = len(found[1]), found[2]
        open_keys = [each for each in open_keys if each[0] < depth] + [(depth, key)]
        if 0 <= hidden_below < depth:
            comment = []
            continue
        path = [each for _, each in open_keys]
        value = yaml.safe_load(text)
        for each in path:
            value = value[each]
        is_whole = key in _FREE or not isinstance(value, dict)
        hidden_below = depth if key in _FREE else -1
        if is_whole or (comment and key in ("config", "values")):
            shown = "see values.yaml" if isinstance(value, dict) and value else f"`{json.dumps(value)}`"
            rows.append(f"| `{'.'.join(path)}` | {shown} | {' '.join(comment)} |")
        comment = []
    return "\n".join(rows)


def readme() -> str:
    """The README with a current table."""
    text = (CHART / "README.md").read_text()
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{table((CHART / 'values.yaml').read_text())}\n{END}{rest.split(END)[1]}"


def files() -> dict[Path, str]:
    """What every generated file should hold."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return {
        CHART / "README.md": readme(),
        CHART / "values.schema.json": json.dumps(schema(values), indent=1) + "\n",
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
