"""Tests of `chaos.targets.kubernetes_api`, with a server of TLS that answers as told."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from chaos.targets.interface import Failed, Skipped
from chaos.targets.kubernetes_api import Api

Asked = tuple[str, str, str, str, Any]


class Handler(BaseHTTPRequestHandler):
    """Notes what it is asked, and answers what comes next."""

    asked: list[Asked]
    answers: list[tuple[int, Any]]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = self.headers
        noted = (headers["Authorization"], headers["Content-Type"], json.loads(body) if body else None)
        self.asked.append((self.command, self.path, *noted))
        status, said = self.answers.pop(0)
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PATCH = do_DELETE = answer  # noqa: N815 - names that the base class looks for

    def log_message(self, *_arguments: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Api, type[Handler]]]:
    """The client of a service account, and what its server is asked and answers."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "namespace").write_text("here")
    handler = type("Told", (Handler,), {"asked": [], "answers": []})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=[0.01])
        thread.start()
        yield Api(tmp_path, f"https://127.0.0.1:{listening.server_address[1]}"), handler
        listening.shutdown()
        thread.join()


async def test_what_is_asked(server: tuple[Api, type[Handler]]) -> None:
    """Paths of the API with the account's namespace and token; changes are merged."""
    api, told = server
    told.answers = [(200, {"items": []}), (200, {}), (200, {}), (200, {})]
    more = {"spec": {"replicas": 3}}
    assert await api.get("pods", labels="a=b,c=d") == {"items": []}
    await api.patch("apps/deployments", "app", more)
    await api.delete("pods", "app-1", grace_s=0)
    await api.delete("pods", "app-2")
    json_type, merge = "application/json", "application/merge-patch+json"
    prefix = "/api/v1/namespaces/here/pods"
    assert told.asked == [
        ("GET", f"{prefix}?labelSelector=a%3Db%2Cc%3Dd", "Bearer secret", json_type, None),
        ("PATCH", "/apis/apps/v1/namespaces/here/deployments/app", "Bearer secret", merge, more),
        ("DELETE", f"{prefix}/app-1", "Bearer secret", json_type, {"gracePeriodSeconds": 0}),
        ("DELETE", f"{prefix}/app-2", "Bearer secret", json_type, {}),
    ]  # fmt: skip


async def test_what_is_not_there(server: tuple[Api, type[Handler]]) -> None:
    """Reading says so with None, deleting is content, and changing is a failure."""
    api, told = server
    told.answers = [(404, {})] * 3
    assert await api.get("pods", "gone") is None
    await api.delete("pods", "gone")
    with pytest.raises(Failed, match="there is no apps/deployments gone in namespace here"):
        await api.patch("apps/deployments", "gone", {})


async def test_refusals_are_said_and_failures_tried_again(
    server: tuple[Api, type[Handler]], autojump_clock: Any
) -> None:
    """A missing right is told in the API's words; an API that is busy is asked three times."""
    api, told = server
    told.answers = [(403, {"message": "pods is forbidden"})]
    with pytest.raises(Failed, match="403 pods is forbidden"):
        await api.get("pods")
    told.answers = [(500, "no object"), (429, {}), (200, {"kind": "Pod"})]
    assert await api.get("pods", "app-1") == {"kind": "Pod"}


def test_without_an_account(tmp_path: Path) -> None:
    """Outside a pod it is said what is missing."""
    with pytest.raises(Skipped, match="no service account"):
        Api(tmp_path)
