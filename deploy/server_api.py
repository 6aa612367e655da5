"""A caller of the server API: one request, its result or a sentence that says what to do."""

import contextlib
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import msgspec

from deploy.errors import UserError
from node.protocol.reasons import INTERNAL

_TIMEOUT_S = 10


def call(url: str, method: str, parameters: dict[str, Any], key: str) -> dict[str, Any]:
    """Call one method; returns its result.

    Args:
        url: of any node, `http://host:port`, or https.
        method: for example `publish`.
        parameters: the request's fields.
        key: the API key, "" for none.

    Raises:
        UserError: the node cannot be reached, refuses the key, or answers with an error.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url} is not the address of a node; it looks like http://127.0.0.1:8000")
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        body = msgspec.json.encode(parameters)
    except UnicodeEncodeError as error:
        raise UserError(
            "what is sent must be UTF-8: check the terminal's locale, or where it comes from"
        ) from error
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    try:
        connection = connect(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        try:
            path = f"{parts.path.rstrip('/')}/api/{method}"
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # A node that has heard enough answers and hangs up: its answer says more than the break.
                connection.request("POST", path, body, headers)
            response = connection.getresponse()
            status, answer = response.status, response.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(f"{url} cannot be reached: {reason_of(error)}; is the cluster up?") from error
    return _result(url, status, answer)


def _result(url: str, status: int, body: bytes) -> dict[str, Any]:
    if status == http.HTTPStatus.UNAUTHORIZED:
        raise UserError(
            f"{url} refuses the API key: give its http_api.key with --key or in BROADCAST_HTTP_API_KEY"
        )
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise UserError(f"{url} takes no request as long as this one (http_api.body_bytes_max)")
    if status != http.HTTPStatus.OK:
        raise UserError(f"{url} answered HTTP {status}; is it a node of this cluster?")
    try:
        answer = json.loads(body)
        error, result = answer.get("error"), answer.get("result")
    except (ValueError, AttributeError) as problem:
        raise UserError(f"{url} did not answer as a node does; is it one?") from problem
    if error and error.get("code") == INTERNAL.code:
        raise UserError(
            f"the node could not do it (code {INTERNAL.code}): NATS is away, did not answer in time, or "
            f"refused it: the node's log has the reason, and {url}/readyz may; a publication may be stored "
            "all the same"
        )
    if error:
        raise UserError(f"the node refused: {error.get('message')} (code {error.get('code')})")
    return dict(result or {})


def reason_of(error: Exception) -> str:
    """Why a connection failed, in words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
