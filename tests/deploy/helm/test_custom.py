"""What the chart makes for operators that Kubernetes does not come with, against their own definitions."""

import functools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.helm.engine import ROOT, Object, rendered

KINDS = ["HTTPRoute", "GRPCRoute", "PodMonitor"]


@functools.cache
def schema(kind: str, version: str) -> Object:
    """Of a kind, without what Kubernetes would drop in silence; the test is skipped if there is none."""
    command = [ROOT / ".ci" / "helm", "--crds"]
    folder = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    files = list(folder.glob(f"*_{kind.lower()}s.yaml"))
    if not files:
        pytest.skip("the definitions are not here; `.ci/helm` fetches them")
    (file,) = files
    (found,) = [
        each["schema"]["openAPIV3Schema"]
        for each in yaml.safe_load(file.read_text())["spec"]["versions"]
        if each["name"] == version
    ]
    found["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
    return closed(found)


def closed(schema: Any) -> Any:
    """A schema in which a field that is not named is an error."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(each) for key, each in schema.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_objects_follow_the_definitions_of_their_operators(kind: str) -> None:
    """No field that they do not know, none missing, none of another type."""
    jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")
    objects = [each for each in rendered("everything-values") if each["kind"] == kind]
    assert objects
    for each in objects:
        jsonschema.validate(each, schema(kind, each["apiVersion"].rpartition("/")[2]))
        # That the definition is used at all.
        wrong = {**each, "spec": {**each["spec"], "timeout": "1s"}}
        with pytest.raises(jsonschema.ValidationError, match="timeout"):
            jsonschema.validate(wrong, schema(kind, each["apiVersion"].rpartition("/")[2]))
