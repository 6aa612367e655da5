"""Runs an experiment in a pod beside an installation of the chart, with kubectl, and brings its report."""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chaos.settings import Settings, make_directory
from chaos.targets.kubernetes_api import ACCOUNT
from deploy.errors import UserError

_MANIFEST = Path(__file__).with_name("kubernetes") / "chaos.yaml"
_POD = "broadcast-chaos"
# In the folder where the image's programs start, which is a volume of the pod's own.
_REPORT = "report"
_EXPERIMENT = "experiment.yaml"
_READY_MAX = "300s"
# The name of a Secret has to be one, also of one that is not there.
_NOTHING = "broadcast-chaos-none"
# Of the command line: what only matters on this side, each with a value.
_OURS = ("--namespace", "--report")


def in_pod() -> bool:
    """Whether this process is in a pod with a service account, and so can act by itself."""
    return (ACCOUNT / "token").exists()


def run_in_pod(experiment: Path, settings: Settings, arguments: Sequence[str], namespace: str) -> int:
    """Run an experiment in a pod, and return its exit code; its report is here then.

    Args:
        experiment: its file.
        settings: say where the report goes, and which installation it is.
        arguments: of `broadcast chaos run` on this side, without the experiment.
        namespace: of the installation, "" for kubectl's own.

    Raises:
        UserError: kubectl is missing, or there is no such installation, or the pod does not start.
    """
    kubectl = _Kubectl(namespace)
    path = "{.spec.template.spec.containers[0].image}"
    image = kubectl.said("get", "deployment", settings.installation, "-o", f"jsonpath={path}")
    # As the chart calls it; nothing where coordinators have none, or there are no coordinators.
    path = '{.spec.template.spec.volumes[?(@.name=="coordinator-tls")].secret.secretName}'
    coordinator = f"{settings.installation}-coordinator"
    secret = kubectl.said("get", "deployment", coordinator, "--ignore-not-found", "-o", f"jsonpath={path}")
    with _pod(kubectl, image, secret or _NOTHING):
        # As an argument: what is piped into a pod does not always arrive.
        kubectl.said("exec", _POD, "--", "python", "-c", _WRITE, _EXPERIMENT, experiment.read_text())
        told = ["run", _EXPERIMENT, *_without(arguments, _OURS), "--report", _REPORT]
        command = [*kubectl.command, "exec", _POD, "--", "python", "-c", _RUN, "broadcast", "chaos", *told]
        done = subprocess.run(command, check=False)  # noqa: S603 - what was typed here
        packed = kubectl.raw("exec", _POD, "--", "python", "-c", _PACK, _REPORT)
        if packed:
            directory = make_directory(settings)
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(directory, filter="data")
            print(f"the report is in {directory}")
    return done.returncode


_WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
# By this number the pod tells the run to end, when it has to end itself.
_RUN = """
import os, pathlib, sys
pathlib.Path("run.pid").write_text(str(os.getpid()))
os.execvp(sys.argv[1], sys.argv[1:])
"""
# The image need not have `tar`; a run that was refused has no report.
_PACK = """
import os, sys, tarfile
if os.path.isdir(sys.argv[1]):
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        archive.add(sys.argv[1], ".")
"""


class _Kubectl:
    """kubectl with a namespace."""

    def __init__(self, namespace: str) -> None:
        self.command = ["kubectl", *(["--namespace", namespace] if namespace else [])]

    def raw(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What it printed; raises UserError if it failed."""
        try:
            done = subprocess.run(  # noqa: S603 - fixed words
                [*self.command, *arguments], input=stdin, capture_output=True, check=False
            )
        except FileNotFoundError as error:
            raise UserError("kubectl is needed for the target kubernetes, and is not on the PATH") from error
        if done.returncode:
            raise UserError(f"kubectl {' '.join(arguments[:3])}: {done.stderr.decode().strip()}")
        return done.stdout

    def said(self, *arguments: str, stdin: bytes = b"") -> str:
        """The same as text."""
        return self.raw(*arguments, stdin=stdin).decode()


@contextmanager
def _pod(kubectl: _Kubectl, image: str, secret: str) -> Iterator[None]:
    """The pod of chaos.yaml, ready; nothing of it is left afterwards; a run in it ends in order first."""
    quoted = json.dumps(image)[1:-1]
    manifest = _MANIFEST.read_text().replace("@IMAGE@", quoted).replace("@COORDINATOR_TLS@", secret).encode()
    kubectl.said("apply", "-f", "-", stdin=manifest)
    try:
        kubectl.said("wait", "--for=condition=Ready", f"pod/{_POD}", f"--timeout={_READY_MAX}")
        yield
    except KeyboardInterrupt:
        # kubectl is gone, and the run does not know.
        print("the run puts right what it has broken", file=sys.stderr)
        raise
    finally:
        # By itself first: without the rights of the others a run could put nothing right.
        kubectl.said("delete", "pod", _POD, "--ignore-not-found", "--wait=true")
        kubectl.said("delete", "--ignore-not-found", "--wait=true", "-f", "-", stdin=manifest)


def _without(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Arguments without some options and their values."""
    kept: list[str] = []
    skipping = False
    for argument in arguments:
        name = argument.partition("=")[0]
        if skipping:
            skipping = False
        elif name in options:
            skipping = "=" not in argument
        else:
            kept.append(argument)
    return kept
