"""One connection of nats-py to the NATS servers, used from trio. Knows nothing of the catalog.

nats-py needs asyncio: it runs on a trio-asyncio loop, and only this module and `nats_kv` know that. A
connection that breaks is not mended, as nats-py could: a new one is made, so that there is one way to begin.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import nats.errors
import structlog
import trio
import trio_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError, KeyValueError

from coordinator.catalog.access import NatsAccess
from coordinator.catalog.interface import CatalogUnavailable

logger = structlog.get_logger(__name__)

_SEED = re.compile(r"\bSU[A-Z2-7]{56}\b")
_PING_INTERVAL_S = 2
_RETRY_S = 0.5
_CLOSE_DEADLINE_S = 1.0
# JetStream's code for having no leader, no quorum or too much to do; NATS's for nobody who listens.
_NOT_NOW = 503

_T = TypeVar("_T")


class _Client(Client):
    """nats-py's, less its readiness to go on without TLS where TLS was demanded."""

    def __init__(self, *, tls_demanded: bool) -> None:
        super().__init__()
        self._tls_demanded = tls_demanded

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self._tls_demanded and not info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        await super()._process_info(info, initial_connection)


class Link:
    """A connection that stands, or stood; made by `connect`.

    Args:
        loop: what nats-py runs on.
        client: connected.
        deadline_s: what one request may take, seconds.

    Attributes:
        jetstream: the API, to be awaited through `ask`.
    """

    def __init__(self, loop: trio_asyncio.TrioEventLoop, client: Client, deadline_s: float) -> None:
        self._loop = loop
        self._client = client
        self._deadline_s = deadline_s
        self.jetstream: JetStreamContext = client.jetstream(timeout=deadline_s)

    @property
    def closed(self) -> bool:
        """Whether it is of no use any more."""
        return self._client.is_closed

    async def ask(self, question: Coroutine[Any, Any, _T]) -> _T:
        """Await something of nats-py.

        Raises:
            CatalogUnavailable: not connected, no answer, or not in time.
            nats.js.errors.APIError: the servers refuse.
        """
        return await _await(self._loop, question, self._deadline_s)

    async def api(self, call: str, query: bytes = b"") -> bytes:
        """Call the JetStream API as `ask` does, and return the answer as it came."""
        request = self._client.request(f"$JS.API.{call}", query, timeout=self._deadline_s)
        return (await self.ask(request)).data

    async def many(self, subject: str, query: bytes) -> list[Msg]:
        """Ask for several answers; returns those before the one with a status, which is the last.

        Raises:
            CatalogUnavailable: as `ask`, and when nobody answers.
        """
        return await self.ask(self._collect(subject, query))

    async def _collect(self, subject: str, query: bytes) -> list[Msg]:
        answers: list[Msg] = []
        status: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def take(msg: Msg) -> None:
            # In a callback, because waiting for each answer costs more than the answer.
            last = (msg.headers or {}).get("Status")
            if last is None:
                answers.append(msg)
            elif not status.done():
                status.set_result(last)

        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=take)
        try:
            await self._client.publish(subject, query, reply=inbox)
            if await status == str(_NOT_NOW):
                raise nats.errors.NoRespondersError
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
        return answers

    async def close(self) -> None:
        """End the connection; what goes wrong in that is of no interest."""
        with trio.CancelScope(shield=True), contextlib.suppress(CatalogUnavailable):
            await _await(self._loop, self._client.close(), _CLOSE_DEADLINE_S)


@contextlib.asynccontextmanager
async def open_loop() -> AsyncIterator[trio_asyncio.TrioEventLoop]:
    """A loop for nats-py, which outlives what nats-py leaves behind.

    Looking a name up cannot be cancelled: the failure of an attempt that took too long comes when nobody
    waits for it any more, and on a loop of trio-asyncio it would end the program.
    """
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_nobody_waits)
        yield loop


def _nobody_waits(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if not isinstance(error, (OSError, nats.errors.Error)):
        loop.default_exception_handler(context)
        return
    logger.info("an attempt that was given up has failed, too", reason=str(error) or type(error).__name__)


async def connect(loop: trio_asyncio.TrioEventLoop, access: NatsAccess, name: str) -> Link:
    """Connect to one of the servers.

    Args:
        loop: what nats-py is to run on.
        access: servers and logins.
        name: what the servers show for this connection.

    Raises:
        CatalogUnavailable: none could be connected to, or took us.
    """
    try:
        options = _options(access)
    except (OSError, ValueError) as error:
        raise CatalogUnavailable(f"cannot connect to NATS: {error}") from error
    client = _Client(tls_demanded=access.tls.enabled or "tls://" in access.url)
    said: list[str] = []

    async def complain(error: Exception) -> None:
        # A server says why it refuses, and then the broken connection is one more complaint.
        said.append(str(error) or type(error).__name__)
        logger.debug("nats-py complains", reason=said[-1])

    link = Link(loop, client, access.request_deadline_s)
    attempt = client.connect(
        name=name,
        error_cb=complain,
        # Fractions are as good; only the library's annotations want whole seconds.
        connect_timeout=access.connect_deadline_s,  # type: ignore[arg-type]
        allow_reconnect=False,
        # Between two tries of the same server.
        reconnect_time_wait=_RETRY_S,  # type: ignore[arg-type]
        ping_interval=_PING_INTERVAL_S,
        **options,
    )
    try:
        await _await(loop, attempt, access.connect_deadline_s)
    except BaseException as error:
        await link.close()
        if isinstance(error, CatalogUnavailable):
            reasons = "; ".join(dict.fromkeys(said)) or str(error)
            raise CatalogUnavailable(f"cannot connect to NATS: {reasons}") from error
        raise
    return link


async def _await(
    loop: trio_asyncio.TrioEventLoop, question: Coroutine[Any, Any, _T], deadline_s: float
) -> _T:
    with trio.move_on_after(deadline_s):
        try:
            answer: _T = await loop.run_aio_coroutine(question)
            return answer
        except (TimeoutError, OSError, asyncio.CancelledError) as error:
            # nats-py cancels what waits for a connection that it closes.
            raise CatalogUnavailable(str(error) or "the connection to NATS broke") from error
        except nats.errors.Error as error:
            if isinstance(error, KeyValueError):
                raise  # about a key; these have no code
            if isinstance(error, APIError) and error.code != _NOT_NOW:
                raise
            raise CatalogUnavailable(str(error) or type(error).__name__) from error
    raise CatalogUnavailable(f"NATS did not answer within {deadline_s:g} s")


def _options(access: NatsAccess) -> dict[str, Any]:
    """What `Client.connect` is to be given; the strongest login that is configured, as on a node."""
    urls = [url if "://" in url else f"nats://{url}" for url in map(str.strip, access.url.split(","))]
    parts = [urlsplit(url) for url in urls]
    # Logins are taken out of the URLs, because nats-py does not undo their percent signs.
    options: dict[str, Any] = {
        "servers": [f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts]
    }
    if access.tls.enabled or access.tls.ca_file or any(part.scheme == "tls" for part in parts):
        options["tls"] = _tls_context(access)
    login = next((part for part in parts if part.username), None)
    if access.credentials_file or access.nkey_seed_file:
        path = access.credentials_file or access.nkey_seed_file
        text = Path(path).read_text(encoding="utf-8")
        if access.credentials_file and "NATS USER JWT" in text:
            options["user_credentials"] = path
        elif (seed := _SEED.search(text)) is None:
            raise ValueError(f"no user nkey seed (SU...) in {path}")
        else:
            options["nkeys_seed_str"] = seed[0]
    elif login is not None and login.password is None:
        options["token"] = unquote(login.username or "")
    elif login is not None:
        options |= {"user": unquote(login.username or ""), "password": unquote(login.password or "")}
    elif access.token:
        options["token"] = access.token
    elif access.user:
        options |= {"user": access.user, "password": access.password}
    return options


def _tls_context(access: NatsAccess) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.tls.ca_file or None)
    if access.tls.cert_file:
        # The empty password keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(access.tls.cert_file, access.tls.key_file or None, password="")
    return context
