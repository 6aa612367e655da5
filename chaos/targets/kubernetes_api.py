"""The Kubernetes API as a pod with a service account uses it: a few JSON requests, each with a deadline."""

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import trio

from chaos.targets.interface import Failed, Skipped

ACCOUNT = Path("/", "var", "run", "secrets", "kubernetes.io", "serviceaccount")
_SERVER = "https://kubernetes.default.svc"
_ANSWER_MAX_S = 10.0
_ATTEMPTS = 3
_PAUSE_S = 1.0

Object = dict[str, Any]
Method = Literal["GET", "DELETE", "PATCH"]


class Answer(NamedTuple):
    """What the API answered: status and JSON."""

    status: int
    body: Object


class Api:
    """The API as one service account sees it.

    Args:
        account: folder with the account's token and namespace and the API's authority.
        server: the API's address.
    """

    def __init__(self, account: Path = ACCOUNT, server: str = _SERVER) -> None:
        if not (account / "token").exists():
            raise Skipped(f"there is no service account in {account}: this runs in a pod that has one")
        self.namespace = (account / "namespace").read_text().strip()
        self._token_file = account / "token"
        self._server = server
        self._trust = ssl.create_default_context(cafile=str(account / "ca.crt"))

    async def get(self, kind: str, name: str = "", labels: str = "") -> Object | None:
        """An object or a list of them; None if there is none of this name.

        Args:
            kind: `pods`, `apps/deployments`, as in the API's paths.
            name: of the object, "" for all.
            labels: that those of a list must have.

        Raises:
            Failed: the API does not answer, or refuses.
        """
        query = f"?labelSelector={urllib.parse.quote(labels)}" if labels else ""
        return await self._asked("GET", self._path(kind, name) + query)

    async def patch(self, kind: str, name: str, change: Object) -> None:
        """Merge a change into an object; raises like `get`, and if the object is not there."""
        if await self._asked("PATCH", self._path(kind, name), change) is None:
            raise Failed(f"there is no {kind} {name} in namespace {self.namespace}")

    async def delete(self, kind: str, name: str, grace_s: int | None = None) -> None:
        """Have an object deleted, which goes on after this returns; raises like `get`.

        Args:
            kind: see `get`.
            name: of the object; it may be gone already.
            grace_s: instead of the object's own grace period.
        """
        options = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        await self._asked("DELETE", self._path(kind, name), options)

    def _path(self, kind: str, name: str) -> str:
        group, _, plural = kind.rpartition("/")
        prefix = f"/apis/{group}/v1" if group else "/api/v1"
        return f"{prefix}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def _asked(self, method: Method, path: str, body: Object | None = None) -> Object | None:
        why = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await trio.sleep(_PAUSE_S)
            try:
                answer = await trio.to_thread.run_sync(partial(self._ask, method, path, body))
            except OSError as error:  # also urllib's own
                why = str(error)
                continue
            if answer.status == 404:
                return None
            if answer.status < 300:
                return answer.body
            why = f"{answer.status} {answer.body.get('message', '')}"
            if answer.status < 500 and answer.status != 429:
                break
        raise Failed(f"{method} {path}: {why}")

    def _ask(self, method: Method, path: str, body: Object | None) -> Answer:
        # Read each time: the token is replaced while the pod runs.
        headers = {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, headers, method=method)  # noqa: S310 - https
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_MAX_S, context=self._trust) as response:  # noqa: S310 - https
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _json_or_nothing(error.read()))


def _json_or_nothing(text: bytes) -> Object:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
