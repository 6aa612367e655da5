"""The real Helm, run on the chart of this checkout. No test lives here."""

import base64
import functools
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm" / "broadcast-cluster"
CASES = {"default": None, **{path.stem: path for path in sorted((CHART / "ci").glob("*-values.yaml"))}}
RELEASE = "broadcast"

Object = dict[str, Any]


class Refused(Exception):
    """Helm would not render; the text is what it said."""


@functools.cache
def binary() -> Path:
    """Where Helm is; the test that needs it is skipped if it is missing."""
    told = subprocess.run([ROOT / ".ci" / "helm", "--where"], capture_output=True, text=True, check=True)
    path = Path(told.stdout.strip())
    if not path.exists():
        pytest.skip("there is no Helm here; `.ci/helm` builds it")
    return path


def helm(*arguments: str | Path, stdin: str = "") -> str:
    """Run Helm; returns what it printed.

    Raises:
        Refused: it failed.
    """
    command = [binary(), *arguments]
    # No cluster of whoever runs this, and no trace of a fake one among what is known of theirs.
    with tempfile.TemporaryDirectory() as cache:
        environ = {**os.environ, "KUBECONFIG": os.devnull, "KUBECACHEDIR": cache}
        done = subprocess.run(
            command, input=stdin, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
    if done.returncode != 0:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def render(
    values: Object | None = None, case: Path | None = None, name: str = RELEASE, api: str = ""
) -> list[Object]:
    """The objects of an installation.

    Args:
        values: over those of the case.
        case: a file of values, None for the defaults.
        name: of the release.
        api: address of a Kubernetes API in which things are looked up, "" for none.
    """
    files = ["--values", case] if case else []
    asked: list[str] = []
    if api:
        asked = ["--is-upgrade", "--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", api]
    text = helm("template", name, CHART, *files, *asked, "--values", "-", stdin=json.dumps(values or {}))
    return [each for each in yaml.safe_load_all(text) if each]


@functools.cache
def rendered(case: str) -> tuple[Object, ...]:
    """The objects of a case by its name in `CASES`; not to be changed."""
    return tuple(render(case=CASES[case]))


def one(objects: list[Object] | tuple[Object, ...], kind: str, name: str) -> Object:
    """The only object of this kind and name."""
    found = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {[(o['kind'], o['metadata']['name']) for o in objects]}"
    return found[0]


def pods(objects: list[Object] | tuple[Object, ...]) -> dict[str, Object]:
    """The specification of every pod that an installation would have, by kind and name of its owner."""
    found = {}
    for each in objects:
        name = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "Pod":
            found[name] = each["spec"]
        elif each["kind"] in ("Deployment", "StatefulSet"):
            found[name] = each["spec"]["template"]["spec"]
    return found


def variables(objects: list[Object] | tuple[Object, ...], kind: str, name: str) -> dict[str, str]:
    """The environment of an owner's pods as the kubelet makes it, without what only a cluster knows."""
    secrets = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "Secret"}
    found: dict[str, str] = {}
    for each in one(objects, kind, name)["spec"]["template"]["spec"]["containers"][0]["env"]:
        if "value" in each:
            found[each["name"]] = re.sub(r"\$\((\w+)\)", lambda ref: found[ref[1]], each["value"])
        elif reference := each["valueFrom"].get("secretKeyRef"):
            found[each["name"]] = base64.b64decode(secrets[reference["name"]][reference["key"]]).decode()
    return found
