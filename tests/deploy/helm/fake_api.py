"""As much of the Kubernetes API as Helm asks while it renders: which kinds there are, and given objects.

No test lives here.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.deploy.helm.engine import Object

NAMESPACE = "default"
# What the chart makes with the values of the tests that look something up.
_KINDS = {
    "v1": ("ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"),
    "apps/v1": ("Deployment", "StatefulSet"),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "policy/v1": ("PodDisruptionBudget",),
}


def _path(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _discovery() -> Object:
    groups = []
    for version in _KINDS:
        group, slash, number = version.partition("/")
        if slash:
            groups.append({"name": group, "versions": [{"groupVersion": version, "version": number}]})
    answers: Object = {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": groups},
    }
    for version, kinds in _KINDS.items():
        resources = [{"name": f"{kind.lower()}s", "kind": kind, "namespaced": True} for kind in kinds]
        answers[_path(version)] = {"groupVersion": version, "resources": resources}
    return answers


@contextmanager
def api(*objects: Object) -> Iterator[str]:
    """Serve objects of the namespace `default`; gives the address for `--kube-apiserver`."""
    answers = _discovery()
    for each in objects:
        where = f"{_path(each['apiVersion'])}/namespaces/{NAMESPACE}/{each['kind'].lower()}s"
        answers[f"{where}/{each['metadata']['name']}"] = each

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(found or {"kind": "Status", "reason": "NotFound", "code": 404}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Helm says itself what it misses."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
