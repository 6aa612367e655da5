"""An installation of the chart on a real cluster, as the environment names it. No test lives here.

KUBECONFIG says which cluster, KUBERNETES_TEST_IMAGE which image (`repository:tag`) its machines can run, and
KUBERNETES_TEST_NATS_IMAGE which image of NATS where the chart's own cannot be pulled.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.helm.engine import CHART, ROOT, binary

NAME = "broadcast-cluster"
JUDGED = ROOT / "chaos" / "targets" / "kubernetes.yaml"
_READY_MAX = "10m"
_CALL_MAX_S = 900
_CLI = (sys.executable, "-P", "-m", "deploy.cli")
# Enough to notice what is lost, and little enough for a cluster of one small machine.
_LOAD = ("--clients", "60", "--deliveries", "300")


def missing() -> str:
    """Why no cluster can be used here, "" if one can."""
    if not shutil.which("kubectl"):
        return "there is no kubectl on the PATH"
    absent = [name for name in ("KUBECONFIG", "KUBERNETES_TEST_IMAGE") if not os.environ.get(name)]
    if absent:
        return f"{' and '.join(absent)} not set: the cluster, and the image that its machines can run"
    command = ["kubectl", "version", "--request-timeout=10s"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if answer.returncode == 0 else f"no cluster answers: {answer.stderr.strip()[-200:]}"


class Installation:
    """The chart in a namespace of its own, which enforces the restricted Pod Security profile.

    Args:
        namespace: to be made.
        directory: for reports of runs.
    """

    def __init__(self, namespace: str, directory: Path) -> None:
        self.namespace = namespace
        self._directory = directory

    def create(self) -> None:
        """Make the namespace and install with the default values; returns when everything is ready."""
        enforce = "pod-security.kubernetes.io/enforce"
        self.kubectl("create", "namespace", self.namespace)
        self.kubectl(
            "label", "namespace", self.namespace, f"{enforce}=restricted", f"{enforce}-version=latest"
        )
        self.helm("install", NAME, CHART, *self._images(), "--wait", "--timeout", _READY_MAX)

    def remove(self) -> None:
        """Remove the namespace with everything in it."""
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def upgrade(self, *settings: str) -> None:
        """Upgrade to the values by which a run can judge it, and wait until no old node is left."""
        values = ["--values", JUDGED, *(word for each in settings for word in ("--set-string", each))]
        self.helm("upgrade", NAME, CHART, *self._images(), *values, "--wait", "--timeout", _READY_MAX)

    def _images(self) -> list[str]:
        words = []
        for variable, path in (
            ("KUBERNETES_TEST_IMAGE", "image"),
            ("KUBERNETES_TEST_NATS_IMAGE", "nats.image"),
        ):
            repository, _, tag = os.environ.get(variable, "").rpartition(":")
            if repository:
                words += [
                    "--set-string",
                    f"{path}.repository={repository}",
                    "--set-string",
                    f"{path}.tag={tag}",
                ]
        return words

    def helm(self, *arguments: str | Path) -> str:
        """Run Helm in the namespace; returns what it printed."""
        return _run([binary(), "--namespace", self.namespace, *arguments])

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace; returns what it printed."""
        return _run(["kubectl", "--namespace", self.namespace, *arguments])

    def pods(self, component: str = "") -> list[dict[str, Any]]:
        """The pods of the installation, or of one component of it."""
        label = f",app.kubernetes.io/component={component}" if component else ""
        selector = f"app.kubernetes.io/instance={NAME}{label}"
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-o", "json", "-l", selector))[
            "items"
        ]
        return found

    def restarts(self) -> dict[str, int]:
        """How often the container of a pod had to be started again, where it had to be."""
        counts = {
            pod["metadata"]["name"]: sum(each["restartCount"] for each in pod["status"]["containerStatuses"])
            for pod in self.pods()
        }
        return {name: count for name, count in counts.items() if count}

    def chaos(self, experiment: str | Path) -> subprocess.Popen[str]:
        """Begin a run of an experiment in the cluster; its verdict is its exit code."""
        where = ["--target", "kubernetes", "--namespace", self.namespace, "--installation", NAME]
        report = str(self._directory / Path(experiment).stem)
        command = [*_CLI, "chaos", "run", str(experiment), *_LOAD, *where, "--report", report]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def verdict(run: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of a run and the end of what it said."""
    said, _ = run.communicate(timeout=_CALL_MAX_S)
    return run.returncode, said[-3000:]


def _run(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_CALL_MAX_S, check=False)
    if done.returncode:
        words = " ".join(map(str, command[:6]))
        pytest.fail(f"{words} ...: {done.stderr or done.stdout}", pytrace=False)
    return done.stdout
