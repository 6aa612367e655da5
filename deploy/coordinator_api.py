"""A caller of the coordinator's HTTP API: one request and its answer, or a stream of events."""

import argparse
import http.client
import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from deploy import client_tls
from deploy.client_tls import ClientTls
from deploy.errors import UserError
from deploy.server_api import reason_of

DEFAULT_URL = "http://127.0.0.1:7000"
_TIMEOUT_S = 10
# What a port of ours answers to plain text.
_SPEAKS_TLS = b"this port speaks TLS"
# Events come every second while there are nodes, and a comment every 10 s otherwise.
_SILENCE_MAX_S = 30


class StreamLost(Exception):
    """A stream of events ended before what was waited for; it can be asked for again."""


class CoordinatorApi:
    """Calls one coordinator.

    Args:
        url: of its HTTP port.
        token: the coordinator's token, "" for none.
        tls: for https; where it says nothing the environment does.

    Raises:
        UserError: the URL is none, or a file of `tls` cannot be used.
    """

    def __init__(self, url: str, token: str, tls: ClientTls | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"{url} is not the address of a coordinator; it looks like {DEFAULT_URL}")
        self._url = url
        self._host = parts.hostname
        self._port = parts.port
        self._path = parts.path.rstrip("/")
        if tls is not None and parts.scheme != "https":
            raise UserError(f"--ca-file, --cert-file and --key-file are for TLS, and {url} is not https://")
        self._tls = (tls or ClientTls()).or_environment().context() if parts.scheme == "https" else None
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> dict[str, Any]:
        """What is at a path.

        Raises:
            UserError: the coordinator cannot be reached or refuses; the message is its own.
        """
        return self._call("GET", path, None)

    def post(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """Ask for something to be done.

        Raises:
            UserError: see `get`.
        """
        return self._call("POST", path, request)

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        """Events of a stream until it ends.

        Raises:
            StreamLost: the connection broke, or the coordinator lost the catalog.
            UserError: see `get`.
        """
        try:
            with self._connected(_SILENCE_MAX_S) as connection:
                response = self._answer(connection, "GET", path, None)
                if response.status != http.HTTPStatus.OK:
                    self._check(response.status, response.read())
                yield from _events(response)
        except (OSError, http.client.HTTPException) as error:
            raise StreamLost(client_tls.failure(error) or reason_of(error)) from error

    def _call(self, method: str, path: str, request: dict[str, Any] | None) -> dict[str, Any]:
        body = None if request is None else json.dumps(request)
        try:
            with self._connected(_TIMEOUT_S) as connection:
                response = self._answer(connection, method, path, body)
                return self._check(response.status, response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            if insecure := client_tls.failure(error):
                raise UserError(f"{self._url}: {insecure}") from error
            raise UserError(f"{self._url} cannot be reached: {reason_of(error)}; is it running?") from error

    def _answer(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: str | None
    ) -> http.client.HTTPResponse:
        connection.connect()
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            # In TLS 1.3 a server refuses a client's certificate, or its lack, when we are done with the
            # handshake and sending: what it said says more than the break.
            connection.request(method, self._path + path, body, self._headers)
        return connection.getresponse()

    @contextmanager
    def _connected(self, timeout_s: float) -> Iterator[http.client.HTTPConnection]:
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        )
        try:
            yield connection
        finally:
            connection.close()

    def _check(self, status: int, body: bytes) -> dict[str, Any]:
        """The answer's value, or what the refusal says."""
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if _SPEAKS_TLS in body and status == http.HTTPStatus.BAD_REQUEST and self._tls is None:
            raise UserError(f"{self._url} speaks TLS; write https://")
        if not isinstance(value, dict):
            raise UserError(f"{self._url} answered HTTP {status}; is it a coordinator?")
        if status == http.HTTPStatus.UNAUTHORIZED:
            raise UserError(
                f"{self._url} refuses the token ({value.get('error')}): give its coordinator.token with "
                "--token or in BROADCAST_COORDINATOR_TOKEN"
            )
        if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            raise Unavailable(str(value.get("error", status)))
        if status == http.HTTPStatus.NOT_FOUND:
            raise Unknown(str(value.get("error", status)))
        if status != http.HTTPStatus.OK:
            raise UserError(str(value.get("error", f"the coordinator answered HTTP {status}")))
        return value


class Unavailable(UserError):
    """The coordinator is there and cannot answer now; it may in a moment."""


class Unknown(UserError):
    """The coordinator knows nothing of what was named."""


def add_coordinator_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--coordinator`, `--token`, and the files for TLS."""
    parser.add_argument(
        "--coordinator",
        default=os.environ.get("BROADCAST_COORDINATOR_PUBLIC_URL", DEFAULT_URL),
        metavar="URL",
        help="any coordinator (default: $BROADCAST_COORDINATOR_PUBLIC_URL, otherwise " + DEFAULT_URL + ")",
    )
    parser.add_argument(
        "--token",
        default=os.environ.get("BROADCAST_COORDINATOR_TOKEN", ""),
        help="coordinator.token (default: $BROADCAST_COORDINATOR_TOKEN)",
    )
    parser.add_argument(
        "--ca-file",
        default="",
        metavar="FILE",
        help="PEM, of the authority of the coordinator's certificate (default: "
        "$BROADCAST_COORDINATOR_CA_FILE, otherwise the system's authorities)",
    )
    parser.add_argument(
        "--cert-file",
        default="",
        metavar="FILE",
        help="PEM, our certificate where it wants one of clients (default: $BROADCAST_COORDINATOR_CERT_FILE)",
    )
    parser.add_argument(
        "--key-file",
        default="",
        metavar="FILE",
        help="PEM, its key (default: $BROADCAST_COORDINATOR_KEY_FILE, otherwise it is in --cert-file)",
    )


def coordinator_of(arguments: argparse.Namespace) -> CoordinatorApi:
    """Who the arguments name."""
    files = ClientTls(arguments.ca_file, arguments.cert_file, arguments.key_file)
    return CoordinatorApi(arguments.coordinator, arguments.token, None if files == ClientTls() else files)


def _events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Server-sent events, one `data` line each (HTML standard, section 9.2.6)."""
    kind = ""
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            event = json.loads(value)
            if kind == "unavailable":
                raise StreamLost(str(event.get("error")))
            yield event
            kind = ""
